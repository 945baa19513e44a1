"""How an association ends, as the exception that takes everybody out of it."""

from typing import Literal

from proxy.errors import ReceiverLost

How = Literal["released", "aborted", "lost", "timeout", "protocol error"]


class Ending(ReceiverLost):
    """Raised when the association is over; a service may see it as the ReceiverLost that it is.

    `parting` is the PDU that the peer still has to be sent: an A-ABORT, an A-RELEASE-RP or nothing.
    """

    def __init__(self, how: How, why: str, parting: bytes = b"") -> None:
        super().__init__(why)
        self.how: How = how
        self.why = why
        self.parting = parting
