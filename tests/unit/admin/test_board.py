import pytest

from proxy import events
from proxy.admin.board import OTHER, Board

NOW = 1_700_000_000.0


@pytest.fixture
def board():
    return Board(NOW)


def names(number=1, aet="WS1"):
    return {"association_id": f"a{number}", "label": f"{aet}->X({number})", "calling_aet": aet, "pipeline": "p"}


def opened(board, number=1, aet="WS1", at=NOW):
    board(events.AssociationOpened(at=at, called_aet="X", address="192.0.2.1", **names(number, aet)))


def closed(board, number=1, aet="WS1", at=NOW + 1, how="released", why=""):
    board(
        events.AssociationEnded(
            at=at, called_aet="X", how=how, why=why, duration=1.0, operations=1, **names(number, aet)
        )
    )


def ended(board, number=1, aet="WS1", at=NOW, **changes):
    fields = {"command": "C-GET", "message_id": 1, "status": 0, "level": "STUDY"} | changes
    board(events.OperationEnded(at=at, **names(number, aet), **fields))


def progress(board, at, amount, number=1, **changes):
    fields = {"command": "C-GET", "message_id": 1, "level": "STUDY", "bytes": amount, "started": NOW} | changes
    board(events.OperationProgress(at=at, **names(number), **fields))


def refused(board, aet="WS7", called="X", why="not allowed", at=NOW):
    board(
        events.AssociationRefused(
            at=at, calling_aet=aet, called_aet=called, address="192.0.2.7", result=1, source=1, reason=3, why=why
        )
    )


def test_associations_are_counted_for_both_ends(board):
    opened(board, 1)
    opened(board, 2)
    closed(board, 1)
    ours, theirs = board.pipeline("p", "X"), board.callers()[0]
    assert theirs.name == "WS1"
    for row in (ours, theirs):
        assert (row.open, row.most_open, row.accepted) == (1, 2, 2)
    assert board.totals().open == 1


def test_refusals_are_counted_at_the_title_that_was_called_and_at_the_caller(board):
    refused(board)
    assert board.pipeline("p", "X").refused == 1
    assert board.pipeline("q", "Y").refused == 0
    [row] = board.callers()
    assert (row.refused, row.last_words, row.last_failed) == (1, "refused: not allowed", True)


def test_a_pipeline_nobody_has_called_has_a_line_of_zeros(board):
    assert board.pipeline("new", "NEW").accepted == 0


def test_operations_are_counted_by_service_with_data_and_outcome(board):
    ended(board, completed=8, failed=2, bytes=100, cache_hits=3, cache_misses=5, status=0xB000)
    ended(board, command="C-STORE", level="", bytes=7)
    row = board.pipeline("p", "X")
    assert row.services == {"C-GET": 1, "C-STORE": 1}
    assert (row.sent, row.send_failures, row.failed) == (8, 2, 1)
    assert (row.bytes_out, row.bytes_in) == (100, 7)
    assert (row.cache_hits, row.cache_misses) == (3, 5)
    assert row.last_words == "C-STORE: 0x0000 Success"


def test_progress_shows_what_runs_and_how_fast_and_counts_no_byte_twice(board):
    progress(board, NOW, 0, remaining=10)
    progress(board, NOW + 2, 4000, remaining=6, completed=4)
    [running] = board.running()
    assert (running.rate, running.total, running.completed) == (2000.0, 10, 4)
    assert board.totals().bytes_out == 4000
    ended(board, bytes=9000, at=NOW + 3)
    assert board.running() == []
    assert board.totals().bytes_out == 9000


def test_rates_are_those_of_the_last_interval(board):
    ended(board, bytes=8000)
    board.tick(NOW + 2)
    assert board.totals().rate_out == 4000
    assert board.pipeline("p", "X").rate == 4000
    board.tick(NOW + 4)
    assert board.totals().rate_out == 0
    assert board.callers()[0].rate == 0


def test_what_runs_in_an_association_ends_with_it(board):
    progress(board, NOW, 0)
    progress(board, NOW, 0, number=2)
    closed(board, 1)
    assert [running.association_id for running in board.running()] == ["a2"]


def test_operations_never_heard_of_again_are_forgotten(board):
    progress(board, NOW, 0)
    board.tick(NOW + 800)
    assert len(board.running()) == 1
    board.tick(NOW + 901)
    assert board.running() == []


def test_callers_past_the_bound_share_a_line():
    board = Board(NOW, callers=3)
    for number in range(50):
        opened(board, number, f"AE{number}")
        refused(board, f"BE{number}", called=f"C{number}")
    rows = {row.name: row for row in board.callers()}
    assert len(rows) == 4
    assert rows[OTHER].accepted + rows[OTHER].refused == 97


def test_troubles_are_listed_newest_first_and_repeated_ones_counted(board):
    board(events.Trouble(at=NOW, where="orthanc", what="away", severity="error"))
    board(events.Trouble(at=NOW + 1, where="cache", what="no space"))
    board(events.Trouble(at=NOW + 2, where="orthanc", what="away", severity="error"))
    assert [(one.where, one.count, one.severity) for one in board.problems()] == [
        ("orthanc", 2, "error"),
        ("cache", 1, "warning"),
    ]


def test_failed_operations_cache_failures_and_deliveries_that_did_not_work_are_troubles(board):
    ended(board, command="C-MOVE", status=0xA801, comment="destination NOWHERE is not known")
    board(events.CacheChanged(failures=1, damaged=1))
    board(events.Forwarded(pipeline="p", target="orthanc", outcome="retry", why="connection refused"))
    board(events.Forwarded(pipeline="p", target="orthanc", outcome="dead", why="told by a Trouble, too"))
    board(events.Forwarded(pipeline="p", target="orthanc", outcome="delivered"))
    told = " / ".join(f"{one.where}: {one.what}" for one in board.problems())
    assert "WS1 at p: C-MOVE STUDY: 0xA801 Move Destination unknown (destination NOWHERE is not known)" in told
    assert "damaged file" in told
    assert "orthanc did not take an instance, it will be tried again: connection refused" in told
    assert len(board.problems()) == 4


def test_everything_is_bounded(board):
    for number in range(3000):
        progress(board, NOW, 1, number=number)
        board(events.Trouble(where="x", what=f"trouble {number}"))
        refused(board, why=f"reason {number}")
    assert len(board.running()) <= 1000
    assert len(board.problems()) <= 100
    assert len(board.stories.latest(500)) <= 200


def test_success_and_cancel_are_no_troubles(board):
    ended(board)
    ended(board, status=0xFE00)
    assert board.problems() == []
    assert board.totals().failed == 0


def test_a_sample_is_kept_at_each_tick(board):
    board(events.CacheChanged(hits=3, misses=1))
    board.tick(NOW + 2, lambda: {"spooled": 5.0, "cached": 9.0})
    columns = board.history.columns("hour")
    assert columns["hit_ratio"] == [75.0]
    assert columns["spooled"] == [5.0]


def test_a_level_that_is_known_later_than_the_start_is_shown(board):
    progress(board, NOW, 0, level="")
    progress(board, NOW + 1, 10, level="SERIES")
    progress(board, NOW + 2, 20, level="")
    assert [one.level for one in board.running()] == ["SERIES"]


def test_failures_of_the_last_hour_are_counted_apart(board):
    ended(board, status=0xA701)
    assert board.totals().failed_lately == 1
    for second in range(5, 4000, 5):
        board.tick(NOW + second)
    assert (board.totals().failed, board.totals().failed_lately) == (1, 0)
