"""An Orthanc's address, and where its password comes from."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from proxy.config import Backend


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://127.0.0.1:8042", "http://127.0.0.1:8042"),
        ("http://127.0.0.1:8042/", "http://127.0.0.1:8042"),
        ("https://pacs.example/orthanc/", "https://pacs.example/orthanc"),
        ("http://[2001:db8::1]:8042", "http://[2001:db8::1]:8042"),
        (" http://orthanc ", "http://orthanc"),
    ],
)
def test_an_address_is_taken_without_its_last_slash(url: str, meant: str) -> None:
    assert Backend(url=url).url == meant


@pytest.mark.parametrize(
    "url", ["", "orthanc:8042", "ftp://orthanc", "http://", "http://:8042", "http://orthanc:99999", "http://orthanc:0"]
)
def test_what_no_orthanc_can_be_at_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        Backend(url=url)


def test_the_password_is_given_or_read_at_each_start(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first\n")
    backend = Backend(url="http://x", password_file=file)
    assert backend.secret() == "first"
    file.write_text("second")
    assert backend.secret() == "second"
    assert Backend(url="http://x", password=SecretStr("given")).secret() == "given"
    assert Backend(url="http://x").secret() == ""


def test_two_passwords_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cannot both be given"):
        Backend(url="http://x", password=SecretStr("x"), password_file=tmp_path / "secret")


def test_a_password_does_not_show_where_settings_are_printed() -> None:
    assert "geheim" not in repr(Backend(url="http://x", password=SecretStr("geheim")))
