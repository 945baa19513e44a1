"""What the documents say is so: links, commands, settings, metrics and quoted messages exist."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from prometheus_client import CollectorRegistry

from proxy.admin.gauges import StateCollector
from proxy.cli import app
from proxy.config import Settings
from proxy.metrics import MetricsSubscriber
from tests.fakes.controls import FakeControls

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
GUIDES = [path for path in DOCUMENTS if path.name not in ("CHANGELOG.md", "CONFORMANCE.md", "configuration.md")]
SITE = {  # what examples may rely on
    "backends": {"orthanc": {"url": "http://127.0.0.1:8042"}},
    "destinations": {"DEST_AET": {"aet": "DEST_AET", "host": "127.0.0.1"}},
}
OPERATION = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def commands(text: str) -> Iterator[list[str]]:
    """What is called as orthanc-proxy, in code blocks and in backticks."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines() + re.findall(
        r"`(orthanc-proxy[^`]*)`", text
    )
    for line in lines:
        found = re.search(r"(?:^|/|\s)orthanc-proxy +([^#|]+)", line)
        if found:
            yield found[1].split()


@pytest.mark.parametrize("document", GUIDES, ids=name_of)
def test_commands_and_their_options_exist(document: Path) -> None:
    for words in commands(document.read_text(encoding="utf-8")):
        command = typer.main.get_command(app)
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands") or not words or words[0] in ("COMMAND", "..."), f"no command {words}"
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        for word in words:
            option = word.strip("[]").partition("=")[0]
            if option.startswith("-"):
                assert option in known, f"{command.name} has no option {option}"


def merged(below: dict, above: dict) -> dict:
    return {
        **below,
        **{
            key: merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
            for key, value in above.items()
        },
    }


@pytest.mark.parametrize("document", GUIDES, ids=name_of)
def test_examples_of_configuration_are_valid(document: Path) -> None:
    for block in blocks(document.read_text(encoding="utf-8"), "toml"):
        Settings.model_validate(merged(SITE, tomllib.loads(block)))


def keys_of(model: type, path: str = "") -> Iterator[str]:
    """Every setting as table.key, NAME for names that users choose."""
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        yield f"{path}{name}"
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if hasattr(kind, "model_fields"):
                is_named = field.annotation is not kind
                yield from keys_of(kind, f"{path}{name}.{'NAME.' if is_named else ''}")


@pytest.mark.parametrize("document", GUIDES, ids=name_of)
def test_settings_exist(document: Path) -> None:
    known = set(keys_of(Settings))
    tables = "|".join(sorted({key.partition(".")[0] for key in known if "." in key}))
    for key in re.findall(rf"`((?:{tables})\.[a-zA-Z_.]+)`", document.read_text(encoding="utf-8")):
        if not key.endswith((".py", ".md")):
            assert key in known, f"there is no setting {key}"


def test_the_table_of_metrics_is_whole_and_true() -> None:
    registry = CollectorRegistry()
    MetricsSubscriber(registry)
    registry.register(StateCollector(FakeControls()))  # type: ignore[arg-type]
    real = set()
    for family in registry.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        real.add(family.name + suffix)
    assert set(re.findall(r"`(orthanc_proxy_\w+)`", OPERATION)) == real


def test_quoted_messages_are_those_of_the_program() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "proxy").rglob("*.py"))
    table = OPERATION.partition("## Symptom, cause, remedy")[2]
    symptoms = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    assert len(symptoms) > 25
    for quoted in re.findall(r"`([^`]+)`", "\n".join(symptoms)):
        assert quoted in source, f"the program never says {quoted!r}"
