"""Rules of the house that no linter knows: what every module owes its reader, and which room may do what."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.schema import describe

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "proxy"
MODULES = {str(path.relative_to(HOUSE)): path.read_text(encoding="utf-8") for path in sorted(HOUSE.rglob("*.py"))}
_LONGEST = 400  # lines; CONTRIBUTING.md aims at 300

# Who may speak to which library: whoever wants to know how something is done has one place to look
_ROOMS = {
    "httpx": {"orthanc"},
    "pyorthanc": {"orthanc"},
    "pycurl": {"orthanc"},
    "starlette": {"admin"},
    "uvicorn": {"admin"},
    "asyncio": {"admin"},  # everything else waits in threads
    "prometheus_client": {"admin", "metrics.py"},
    "structlog": {"log.py"},
    "pynetdicom": {"scp/stock", "dicom", "demo", "doctor", "conformance"},
    "xxhash": {"cache", "spool"},
}

# Decisions: time, chance and the world come in as arguments
_PURE = [
    *(name for name in MODULES if name.startswith("dicom/")),
    *(f"spool/{name}.py" for name in ("names", "backlog", "breaker", "room", "routing")),
    *("cache/eviction.py", "orthanc/query.py", "access.py", "errors.py"),
]
_WORLD = {
    "asyncio", "httpx", "logging", "mmap", "os", "pathlib", "pycurl", "random", "secrets", "shutil", "socket", "ssl",
    "subprocess", "tempfile", "threading", "time",
}  # fmt: skip
_NO_BEHAVIOUR = {"dicom/messages.py"}


def imports(source: str) -> Iterator[str]:
    """The modules that a module imports, dotted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("name", [name for name, source in MODULES.items() if source.strip()])
def test_every_module_says_what_it_is_for_and_is_short_enough_to_be_read(name: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[name])), "the first line says what a module is for"
    assert len(MODULES[name].splitlines()) <= _LONGEST, "it has more than one purpose"


@pytest.mark.parametrize("name", _PURE)
def test_a_decision_neither_reads_a_clock_nor_touches_the_world(name: str) -> None:
    assert {module.partition(".")[0] for module in imports(MODULES[name])} & _WORLD == set()


@pytest.mark.parametrize("library", _ROOMS)
def test_each_library_is_spoken_to_in_its_own_rooms_only(library: str) -> None:
    users = [name for name, source in MODULES.items() if library in {m.partition(".")[0] for m in imports(source)}]
    assert users, "nobody uses it any more"
    rooms = _ROOMS[library]
    assert [name for name in users if not any(name == room or name.startswith(f"{room}/") for room in rooms)] == []


def test_every_error_stands_in_the_tree_and_says_when_it_is_raised() -> None:
    module = ast.parse(MODULES["errors.py"])
    tree = {line.split()[0] for line in (ast.get_docstring(module) or "").splitlines() if line.startswith("    ")}
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    assert {node.name for node in classes} == tree
    bases = {base.id for node in classes for base in node.bases if isinstance(base, ast.Name)}
    for node in classes:
        words = ast.get_docstring(node) or ""
        assert words.startswith("Raised when") or (words and node.name in bases), node.name


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("dicom/") and MODULES[name].strip()])
def test_what_follows_the_standard_is_tested_where_one_looks_for_it(name: str) -> None:
    mirrored = ROOT / "tests" / "unit" / name.replace("/", "/test_")
    assert mirrored.exists() or name in _NO_BEHAVIOUR, f"there is no {mirrored.relative_to(ROOT)}"


def test_every_setting_is_read_somewhere() -> None:
    code = "\n".join(MODULES.values())
    unread = [f"{one.table}.{one.key}" for one in describe() if not re.search(rf'\.{one.key}\b|"{one.key}"', code)]
    assert unread == [], "a setting that nothing reads is a promise that nobody keeps"
