"""One table from errors to statuses: what a peer is told when something goes wrong."""

import pytest

from proxy import errors
from proxy.dicom.status import STORE_WARNINGS, Status, status_for

COMMANDS = ("C-ECHO", "C-FIND", "C-GET", "C-MOVE", "C-STORE", "N-ACTION")


@pytest.mark.parametrize(
    ("error", "statuses"),
    [
        (errors.AccessDenied("no"), [0x0124] * 6),
        (errors.InvalidIdentifier("no"), [0xA900] * 6),
        (errors.UnreadableIdentifier("no"), [0xC000] * 6),
        (errors.InvalidInstance("no"), [0xC000] * 6),
        (errors.InvalidInstance("no", mismatch=True), [0xA900] * 6),
        (errors.UnknownDestination("no"), [0xA801] * 6),
        (errors.DestinationUnreachable("no"), [0xA702] * 6),
        (errors.SpoolFull("no"), [0xA700] * 6),
        (errors.OrthancUnavailable("no"), [0x0110, 0xA700, 0xA701, 0xA701, 0xA700, 0x0110]),
        (errors.OrthancRefused("no"), [0x0110, 0xC010, 0xC010, 0xC010, 0xC010, 0x0110]),
        (errors.InstanceGone("no"), [0x0110, 0xA700, 0xA701, 0xA701, 0xA700, 0x0110]),
        (ZeroDivisionError(), [0x0110, 0xC000, 0xC000, 0xC000, 0x0110, 0x0110]),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_every_error_has_its_status_for_every_command(error: Exception, statuses: list[int]) -> None:
    assert [status_for(error, command) for command in COMMANDS] == statuses


def test_no_error_is_ever_a_success_or_a_warning_of_a_store() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ProxyError)]
    for kind in kinds:
        for command in COMMANDS:
            status = status_for(kind("no"), command)
            assert status not in (Status.SUCCESS, Status.PENDING, Status.PENDING_WARNING)
            assert status not in STORE_WARNINGS, kind
