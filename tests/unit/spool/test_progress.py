"""Progress of an instance with several targets."""

from pathlib import Path

from proxy.spool.progress import Progress, ProgressFiles


def test_what_is_left_follows_routing_unless_it_is_meant_for_some_only() -> None:
    assert Progress().left(("a", "b")) == ("a", "b")
    assert Progress(frozenset({"a"})).left(("a", "b")) == ("b",)
    assert Progress(only=frozenset({"c"})).left(("a", "b")) == ("c",)
    assert Progress(frozenset({"c"}), frozenset({"c"})).left(("a",)) == ()


def test_progress_survives_and_damage_only_means_once_more(tmp_path: Path) -> None:
    files = ProgressFiles(tmp_path)
    progress = Progress(frozenset({"a"}), frozenset({"a", "b"}))
    files.write("1", progress)
    assert files.read("1") == progress
    assert [path.name for path in tmp_path.iterdir()] == ["1.json"]
    (tmp_path / "1.json").write_bytes(b'{"done":')
    assert files.read("1") == Progress()
    files.forget("1")
    files.forget("1")
    assert list(tmp_path.iterdir()) == []
