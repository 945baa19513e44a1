"""From what an Orthanc tells of itself to a configuration that takes its place."""

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config import AlwaysAllow, Settings
from proxy.config.file import read
from proxy.drop_in import MAIN, PIPELINE, Found, Wishes, files, next_steps, port_of
from proxy.orthanc.modalities import modalities_of

MODALITIES = modalities_of(
    {
        "ws": {"AET": "WS1", "Host": "10.0.0.5", "Port": 104},
        'we ird\n"name"': {"AET": "ODD", "Host": "odd.example", "Port": 105, "UseDicomTls": True},
        "self": {"AET": "orthanc", "Host": "127.0.0.1", "Port": 4242},
    }
)
FOUND = Found("http://127.0.0.1:8042", "My\nOrthanc", "ORTHANC", 4242, "1.12.7", MODALITIES)


def loaded(folder: Path, found: Found = FOUND, wishes: Wishes = Wishes()) -> Settings:
    """What is written, as the program reads it. Raises ConfigError."""
    for place, text in files(found, wishes).items():
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    return read(folder / MAIN, {}, secrets=folder / "none").settings


def uncommented(text: str) -> str:
    return "\n".join(
        line.removeprefix("# ") for line in text[text.index("# [destinations") :].splitlines() if line != "#"
    )


def test_what_is_written_is_sound_and_is_a_drop_in(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    (pipeline,) = settings.pipelines.values()
    assert (pipeline.aet, pipeline.access) == ("ORTHANC", "orthanc")
    assert set(pipeline.services) == {"echo", "find", "get", "move", "store", "commitment"}
    assert pipeline.always_allow == AlwaysAllow()
    assert not settings.listener.check_called_aet, "as Orthanc's default"
    assert settings.backends["orthanc"].url == FOUND.url
    assert settings.proxy.id == "My\nOrthanc-proxy"
    assert settings.destinations == {}, "Orthanc's modalities are known without being listed"


def test_what_is_commented_can_be_switched_on(tmp_path: Path) -> None:
    loaded(tmp_path)
    (tmp_path / "pipelines" / "more.toml").write_text(uncommented((tmp_path / PIPELINE).read_text()))
    destinations = read(tmp_path / MAIN, {}, secrets=tmp_path / "none").settings.destinations
    assert destinations.keys() == MODALITIES.keys()
    odd = destinations['we ird\n"name"']
    assert (odd.aet, odd.host, odd.port, odd.tls) == ("ODD", "odd.example", 105, True)


@pytest.mark.parametrize(
    ("there", "take_over", "port"), [(4242, False, 11112), (11112, False, 11113), (4242, True, 4242), (104, True, 104)]
)
def test_it_listens_beside_orthanc_or_where_orthanc_does(
    there: int, take_over: bool, port: int, tmp_path: Path
) -> None:
    found, wishes = replace(FOUND, port=there), Wishes(take_over=take_over)
    assert port_of(found, wishes) == port
    assert loaded(tmp_path, found, wishes).listener.bind_port == port


def test_credentials_and_folders_are_named_and_no_password_is_written(tmp_path: Path) -> None:
    password, ca = tmp_path / "secret", tmp_path / "ca.pem"
    password.write_text("geheim\n")
    ca.touch()
    wishes = Wishes(username="proxy", password_file=password, ca=ca, storage=tmp_path / "data")
    settings = loaded(tmp_path, wishes=wishes)
    backend = settings.backends["orthanc"]
    assert (backend.username, backend.secret(), backend.verify) == ("proxy", "geheim", ca)
    assert settings.storage.path == tmp_path / "data"
    assert "geheim" not in "".join(files(FOUND, wishes).values())


def test_an_orthanc_without_a_name_is_fine(tmp_path: Path) -> None:
    assert loaded(tmp_path, replace(FOUND, name="", modalities={})).proxy.id == "orthanc-proxy"


def steps(found: Found = FOUND, *, take_over: bool) -> str:
    return "\n".join(next_steps(found, Wishes(take_over=take_over), Path("x/config.toml")))


def test_beside_orthanc_others_are_told_of_the_new_port() -> None:
    told = steps(take_over=False)
    assert "port 11112" in told
    assert "DicomPort" not in told
    assert told.index("check --live --config x/config.toml") < told.index("serve --config x/config.toml")


def test_to_take_over_orthanc_moves_first_and_its_entry_for_itself_with_it() -> None:
    told = steps(take_over=True).splitlines()
    assert told[0].startswith('Set "DicomPort": 4243')
    assert '"self"' in told[1]
    assert told[1].endswith("to 4243.")
    assert "Nobody else" in told[-1]


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:8042", True),
        ("http://127.0.0.1:8042", True),
        ("http://[::1]:8042", True),
        ("http://10.0.0.9:8042", False),
        ("https://pacs.example", False),
    ],
)
def test_an_orthanc_elsewhere_is_not_reached_by_others_any_more(url: str, here: bool) -> None:
    told = steps(replace(FOUND, url=url), take_over=True)
    assert ("Nobody else need be told" in told) is here
    assert ("Tell everybody" in told) is not here
