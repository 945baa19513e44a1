"""Lines of keys, whatever the way a document is written."""

import tomllib
from pathlib import Path

import pytest

from proxy.config.positions import key_lines

DOCUMENT = '''# comment
top = 1

[a]   # [not.this]
x = 1
y = [
  1, # ]
  2,
]
z = """
[b]
q = 1
"""
dotted.key.deep = 3
inline = { p = 1, q = { r = 2 } }

[[list.of]]
name = "x"

[[list.of]]
name = "y"
[list.of.below]
k = 1

[ "quoted.name" . b ]
k = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("a",), 4),
        (("a", "x"), 5),
        (("a", "y"), 6),
        (("a", "z"), 10),
        (("a", "dotted", "key", "deep"), 14),
        (("a", "inline", "q", "r"), 15),
        (("list", "of", 0), 17),
        (("list", "of", 0, "name"), 18),
        (("list", "of", 1, "name"), 21),
        (("list", "of", 1, "below", "k"), 23),
        (("quoted.name", "b", "k"), 26),
    ],
)
def test_every_key_is_found_on_its_line(path: tuple[str | int, ...], line: int) -> None:
    assert key_lines(DOCUMENT)[path] == line


def test_no_key_inside_a_text_counts() -> None:
    assert ("b",) not in key_lines(DOCUMENT)
    assert ("b", "q") not in key_lines(DOCUMENT)


def test_every_key_of_the_shipped_files_has_a_line() -> None:
    for file in (Path(__file__).parents[3] / "config").rglob("*.toml"):
        text = file.read_text(encoding="utf-8")
        lines = key_lines(text)
        for table, keys in tomllib.loads(text).items():
            assert (table,) in lines or all((table, name) in lines for name in keys), table
