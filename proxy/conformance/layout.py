"""Markdown: headings that are numbered as in PS3.2 Annex N, paragraphs, tables."""

import re
import textwrap
from collections.abc import Iterable, Sequence

_WIDTH = 120
_NO_PARAGRAPH = ("#", "|", "- ", "```")

Block = str
"""One heading, paragraph, list or table, without the blank lines around it."""


def heading(number: str, title: str) -> Block:
    """`## 1 Overview`, `#### 5.2.7 Query/Retrieve`; an annex is numbered by a letter."""
    return f"{'#' * (2 + number.count('.'))} {number} {title}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Block:
    """A table; what would end a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def bullets(items: Iterable[str]) -> Block:
    """A list."""
    return "\n".join(f"- {item}" for item in items)


def yes(value: bool) -> str:
    """Y or N, as PS3.2 has it."""
    return "Y" if value else "N"


def contents(blocks: Iterable[Block]) -> Block:
    """A table of contents of the headings of the first two depths, linked as GitHub names them."""
    found = [match for block in blocks if (match := re.match(r"(##|###) (\S+ .+)$", block))]
    return "\n".join(f"{'  ' * (len(m[1]) - 2)}- [{m[2]}](#{_anchor(m[2])})" for m in found)


def wrapped(block: Block) -> Block:
    """A paragraph in lines of 120 characters, code unbroken; all else as it is."""
    if block.startswith(_NO_PARAGRAPH):
        return block
    whole = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), block)
    return textwrap.fill(whole, _WIDTH, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;").replace("\n", " ")
