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


@pytest.mark.parametrize(
    ("url", "meant", "username", "password"),
    [
        ("http://anna:geheim@orthanc:8042", "http://orthanc:8042", "anna", "geheim"),
        ("https://anna@[::1]/x", "https://[::1]/x", "anna", ""),
        ("http://a%40b:p%3Aw%40@orthanc", "http://orthanc", "a@b", "p:w@"),
    ],
)
def test_name_and_password_inside_the_address_are_taken_out_of_it(
    url: str, meant: str, username: str, password: str
) -> None:
    """It is shown in logs and pages."""
    backend = Backend(url=url)
    assert (backend.url, backend.username, backend.secret()) == (meant, username, password)
    assert password == "" or password not in repr(backend)


def test_name_and_password_of_their_own_win_over_those_inside_the_address(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from the file")
    url = "http://anna:geheim@orthanc"
    assert Backend(url=url, username="otto", password=SecretStr("x")).secret() == "x"
    assert Backend(url=url, username="otto").username == "otto"
    assert Backend(url=url, password_file=file).secret() == "from the file"


def test_two_passwords_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cannot both be given"):
        Backend(url="http://x", password=SecretStr("x"), password_file=tmp_path / "secret")


def test_a_password_does_not_show_where_settings_are_printed() -> None:
    assert "geheim" not in repr(Backend(url="http://x", password=SecretStr("geheim")))
