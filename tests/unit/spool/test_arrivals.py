"""News of arrivals never hold anybody up, and what did not get through is known."""

from pathlib import Path

from proxy.spool.arrivals import Listener, Teller


def test_lines_come_whole_from_several_tellers(tmp_path: Path) -> None:
    listener = Listener(tmp_path / "pipe")
    tellers = [Teller(tmp_path / "pipe"), Teller(tmp_path / "pipe")]
    assert all(teller.tell(f"line {number}".encode()) for number in range(50) for teller in tellers)
    assert list(listener.lines(0)) == [f"line {number}".encode() for number in range(50) for _ in tellers]
    assert list(listener.lines(0)) == []


def test_a_full_pipe_is_told_and_not_waited_for(tmp_path: Path) -> None:
    listener = Listener(tmp_path / "pipe")
    teller = Teller(tmp_path / "pipe")
    told = 0
    while teller.tell(b"x" * 1000):
        told += 1
        assert told < 10_000
    assert len(list(listener.lines(0))) == told
    assert teller.tell(b"again")


def test_without_a_listener_the_teller_says_so_and_finds_a_later_one(tmp_path: Path) -> None:
    teller = Teller(tmp_path / "pipe")
    assert not teller.tell(b"lost")
    listener = Listener(tmp_path / "pipe")
    assert teller.tell(b"first")
    listener.close()
    assert not teller.tell(b"lost")
    again = Listener(tmp_path / "pipe")
    assert teller.tell(b"second")
    assert list(again.lines(0)) == [b"second"]


def test_whoever_waits_for_news_can_be_woken_and_hears_nothing(tmp_path: Path) -> None:
    listener = Listener(tmp_path / "pipe")
    listener.wake()
    assert list(listener.lines(60)) == []


def test_a_file_in_the_place_of_the_pipe_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "pipe").write_bytes(b"a copy of a spool, on another machine\n")
    listener = Listener(tmp_path / "pipe")
    assert Teller(tmp_path / "pipe").tell(b"news")
    assert list(listener.lines(0)) == [b"news"]
