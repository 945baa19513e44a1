"""Markdown that renders as it is meant."""

from proxy.conformance.layout import contents, heading, table, wrapped


def test_headings_are_as_deep_as_their_numbers() -> None:
    assert heading("1", "Overview") == "## 1 Overview"
    assert heading("5.2.5.1", "SCU") == "##### 5.2.5.1 SCU"


def test_a_cell_cannot_break_its_table() -> None:
    assert table(["a"], [("x|y\n*<b>",)]).splitlines() == ["| a |", "| --- |", "| x\\|y \\*&lt;b> |"]


def test_contents_link_to_headings_of_two_depths() -> None:
    blocks = ["## 7 Network", "text", "### 7.1 General: all", "#### 7.1.1 deeper"]
    assert contents(blocks).splitlines() == [
        "- [7 Network](#7-network)",
        "  - [7.1 General: all](#71-general-all)",
    ]


def test_paragraphs_are_wrapped_and_code_in_them_is_not() -> None:
    lines = wrapped(f"{'word ' * 22}`--set a b c d e f g` end").splitlines()
    assert all(len(line) <= 120 for line in lines)
    assert any("`--set a b c d e f g`" in line for line in lines)
    long_table = table(["a"], [("word " * 40,)])
    assert wrapped(long_table) == long_table
