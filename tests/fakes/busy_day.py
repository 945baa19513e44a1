"""A busy ten minutes as events: what a well-used proxy would have told, for tests that look at the page."""

import random

from proxy import events

REQUESTORS = (
    ("CT1", "192.0.2.11"),
    ("MR<2>", "192.0.2.12"),
    ("WORKSTATION1", "192.0.2.21"),
    ("WORKSTATION2", "192.0.2.22"),
)


def tell(board, now):
    """Emit it all to `board`, ending `now`; ticks the board's history on the way."""
    dice = random.Random(7)
    at, number = now - 590.0, 0
    while at < now - 30:
        aet, address = dice.choice(REQUESTORS)
        number += 1
        if aet.startswith("W"):
            _read(board, at, number, aet, address, dice)
        else:
            _send(board, at, number, aet, address, dice)
        at += dice.uniform(4, 22)
        board.tick(at, lambda: {"spooled": dice.choice((0, 0, 40, 312)), "cached": 3e9 + number * 2e7})
    for _ in range(3):
        _refuse(board, now - 200, "WS7", "192.0.2.77", 1, 1, 3, "calling AE WS7 not allowed by pipeline dicom_scp")
    _refuse(board, now - 140, "WORKSTATION1", "192.0.2.21", 1, 1, 7, "called AE ORTHANC is none of ours", "ORTHANC")
    _refuse(board, now - 90, "", "192.0.2.99", 0, 0, 0, "no A-ASSOCIATE-RQ within 10 s")
    _run(board, now)
    trouble = events.Trouble(where="orthanc", what="call failed twice, third attempt succeeded: /tools/find")
    board(trouble)
    board(events.Forwarded(at=now - 7, pipeline="intake", target="orthanc", outcome="retry", why="connection refused"))
    board.tick(now, lambda: {"spooled": 312, "cached": 4e9})


def _names(number, aet, ours):
    pipeline = {"HARMONY_SCP": "dicom_scp", "INTAKE": "intake"}[ours]
    label = f"{aet}->{ours}({number})"
    return {"association_id": f"a{number}", "label": label, "calling_aet": aet, "pipeline": pipeline}


def _open(board, at, names, ours, address, implementation):
    board(
        events.AssociationOpened(
            at=at,
            called_aet=ours,
            address=address,
            implementation_version=implementation,
            tls=address.endswith("22"),
            **names,
        )
    )


def _close(board, at, names, ours, how, duration, operations, why=""):
    board(
        events.AssociationEnded(
            at=at, called_aet=ours, how=how, why=why, duration=duration, operations=operations, **names
        )
    )


def _read(board, at, number, aet, address, dice):
    names = _names(number, aet, "HARMONY_SCP")
    _open(board, at, names, "HARMONY_SCP", address, "OFFIS_DCMTK_367")
    board(
        events.OperationEnded(
            at=at + 0.1,
            command="C-FIND",
            message_id=1,
            status=0,
            level="STUDY",
            matches=dice.randint(0, 40),
            duration=0.04,
            **names,
        )
    )
    count, seconds = dice.randint(20, 400), dice.uniform(2, 25)
    status, comment, failures = 0, "", 0
    if number % 7 == 0:
        status, comment, count = 0xA801, "destination READING9 is not known", 0
    elif number % 11 == 0:
        status, failures = 0xB000, 3
    hits = int(count * dice.random())
    board(events.CacheChanged(hits=hits, misses=count - hits))
    board(
        events.OperationEnded(
            at=at + seconds, command="C-MOVE", message_id=2, status=status, comment=comment, level="STUDY",
            destination="READING" if count else "READING9", duration=seconds, bytes=count * 525_312, completed=count,
            failed=failures, cache_hits=hits, cache_misses=count - hits, **names,
        )
    )  # fmt: skip
    _close(board, at + seconds + 0.1, names, "HARMONY_SCP", "released", seconds, 2)


def _send(board, at, number, aet, address, dice):
    names = _names(number, aet, "INTAKE")
    _open(board, at, names, "INTAKE", address, "SIEMENS_CT_VA30")
    count = dice.randint(5, 60)
    for message_id in range(1, count + 1):
        board(
            events.OperationEnded(
                at=at + message_id * 0.05,
                command="C-STORE",
                message_id=message_id,
                status=0,
                duration=0.02,
                bytes=525_312,
                **names,
            )
        )
    lost = number % 9 == 0
    why = "the connection was reset" if lost else ""
    _close(board, at + count * 0.05, names, "INTAKE", "lost" if lost else "released", count * 0.05, count, why)


def _refuse(board, at, aet, address, result, source, reason, why, called="HARMONY_SCP"):
    board(
        events.AssociationRefused(
            at=at,
            calling_aet=aet,
            called_aet=called if result else "",
            address=address,
            result=result,
            source=source,
            reason=reason,
            why=why,
        )
    )


def _run(board, now):
    names = _names(900, "WORKSTATION2", "HARMONY_SCP")
    _open(board, now - 24, names, "HARMONY_SCP", "192.0.2.22", "WEASIS_4")
    for second in range(20, 0, -1):
        done = (20 - second) * 55
        board(
            events.OperationProgress(
                at=now - second, command="C-GET", message_id=1, level="SERIES", remaining=1800 - done, completed=done,
                bytes=done * 525_312, started=now - 21, **names,
            )
        )  # fmt: skip
    names = _names(901, "CT1", "INTAKE")
    _open(board, now - 2, names, "INTAKE", "192.0.2.11", "SIEMENS_CT_VA30")
    for at, amount in ((2.0, 0), (1.0, 31 << 20)):
        board(
            events.OperationProgress(
                at=now - at, command="C-STORE", message_id=9, bytes=amount, started=now - 2, **names
            )
        )
