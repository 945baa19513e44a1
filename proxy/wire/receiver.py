"""C-STORE sub-operations over a channel: to the requestor itself (C-GET) or to a Move Destination."""

import time
from collections.abc import Callable, Sequence

from proxy.config import LimitsSettings
from proxy.dicom.messages import Outgoing
from proxy.errors import NoAcceptableContext
from proxy.wire import command, pdu
from proxy.wire.channel import Channel
from proxy.wire.ending import Ending

_USER_ABORT = pdu.abort(pdu.AbortSource.USER)


class ChannelReceiver:
    """Sends one instance after the other; `originator` names the requestor of a C-MOVE and its message ID."""

    def __init__(
        self,
        channel: Channel,
        limits: LimitsSettings,
        *,
        originator: tuple[str, int] | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._channel = channel
        self._response_timeout = limits.response_timeout
        self._originator = originator
        self._close = close
        self._message_id = 0
        self._deadline = 0.0
        self._is_watched = False  # is it known how much the kernel holds for the receiver?
        self._context_ids: dict[str, dict[str, int]] = {}
        for context in channel.contexts.values():
            if context.as_scu:
                by_syntax = self._context_ids.setdefault(context.abstract_syntax, {})
                by_syntax.setdefault(context.transfer_syntax, context.context_id)
        self._accepted = {sop_class: tuple(by_syntax) for sop_class, by_syntax in self._context_ids.items()}

    def accepts(self, sop_class_uid: str) -> Sequence[str]:
        """The transfer syntaxes in which the receiver takes that SOP class, in the order of its contexts."""
        return self._accepted.get(sop_class_uid, ())

    def begin(self, outgoing: Outgoing) -> None:
        """Write the C-STORE request. Raises NoAcceptableContext or ReceiverLost.

        An error of `outgoing.data` before its first fragment is raised as it is, and nothing has been written;
        a later one aborts the association.
        """
        context_id = self._context_ids.get(outgoing.sop_class_uid, {}).get(outgoing.transfer_syntax)
        if context_id is None:
            raise NoAcceptableContext("the receiver does not take this transfer syntax")
        self._message_id = self._message_id % 0xFFFF + 1
        request = command.store_request(
            self._message_id, outgoing.sop_class_uid, outgoing.sop_instance_uid, self._originator
        )
        self._channel.expect(command.Field.C_STORE_RSP, self._message_id, outgoing.sop_instance_uid)
        self._channel.write_instance(context_id, request, outgoing.data)
        self._is_watched = False
        self._deadline = time.monotonic() + self._response_timeout

    def finish(self, timeout: float | None = None) -> int | None:
        """The status of the response, or None after `timeout` seconds. Raises ReceiverLost."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            status = self._channel.wait_status(self._deadline if until is None else min(self._deadline, until))
            now = time.monotonic()
            if status is None:
                self._check_progress(now)
            if status is not None or (until is not None and now >= until):
                return status

    def _check_progress(self, now: float) -> None:
        """Over a slow line much may still be on its way: the time runs from when the receiver last took some of it.

        How much that is costs a system call, and is only asked about once a response is late.
        """
        if self._channel.is_draining() or not self._is_watched:
            self._is_watched = True
            self._deadline = now + self._response_timeout
        elif now >= self._deadline:
            raise self._channel.end(Ending("timeout", "no C-STORE response in time", _USER_ABORT))

    def close(self) -> None:
        """Release the association where it is one of our own making."""
        self._close()
