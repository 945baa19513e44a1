"""Promises of storage commitment: kept on disk until they are reported, by one at a time."""

from pathlib import Path

import pytest

from proxy.dicom.commitment import Reference, Transaction
from proxy.spool.transactions import Promise, Transactions
from tests.fakes.received import CT

TRANSACTION = Transaction("1.9", (Reference(CT, "1.2.3"), Reference(CT, "1.2.4")))


def promised(folder: Path, count: int = 1) -> list[Promise]:
    return [Transactions(folder).add(TRANSACTION, "main", "SCU", "PROXY") for _ in range(count)]


def test_a_promise_is_read_as_it_was_given_by_whoever_starts_next(tmp_path: Path) -> None:
    (promise,) = promised(tmp_path)
    again = Transactions(tmp_path)
    assert again.ids() == [promise.id]
    assert again.read(promise.id) == promise
    again.remove(promise.id)
    again.remove(promise.id)
    assert again.ids() == []


def test_they_are_taken_up_in_the_order_in_which_they_were_given(tmp_path: Path) -> None:
    assert [promise.id for promise in promised(tmp_path, 20)] == Transactions(tmp_path).ids()


def test_one_at_a_time_keeps_a_promise(tmp_path: Path) -> None:
    (promise,) = promised(tmp_path)
    one, other = Transactions(tmp_path), Transactions(tmp_path)
    with one.claim(promise.id) as ours:
        assert ours
        with other.claim(promise.id) as theirs:
            assert not theirs
        one.remove(promise.id)
        with other.claim(promise.id) as theirs:
            assert not theirs
    with other.claim(promise.id) as theirs:
        assert not theirs, "it is kept"


def test_who_waited_for_a_claim_does_not_keep_a_promise_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is removed between opening its file and locking it."""
    (promise,) = promised(tmp_path)
    transactions = Transactions(tmp_path)
    open_file = Path.open

    def removed_meanwhile(path: Path, *how: str) -> object:
        file = open_file(path, *how)
        path.unlink()
        return file

    monkeypatch.setattr(Path, "open", removed_meanwhile)
    with transactions.claim(promise.id) as ours:
        assert not ours


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"transaction": {}}', b'{"id": 1, "transaction": 3}'])
def test_a_damaged_promise_is_none(tmp_path: Path, content: bytes) -> None:
    (promise,) = promised(tmp_path)
    (tmp_path / "commitment" / f"{promise.id}.json").write_bytes(content)
    with pytest.raises(LookupError):
        Transactions(tmp_path).read(promise.id)


def test_a_promise_that_cannot_be_read_just_now_is_no_damaged_one(tmp_path: Path) -> None:
    (promise,) = promised(tmp_path)
    path = tmp_path / "commitment" / f"{promise.id}.json"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        Transactions(tmp_path).read(promise.id)
