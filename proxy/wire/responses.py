"""How the responses to one request go out: at once, or batched where that is faster and nobody waits longer."""

import time
from collections.abc import Callable

from proxy.dicom.messages import Response
from proxy.dicom.status import PENDING
from proxy.wire import command
from proxy.wire.channel import Channel, Message
from proxy.wire.transport import Buffer

_BATCH = 64 * 1024  # bytes of C-FIND responses per write
_BATCH_BUFFERS = 900
_SLOW_SOURCE = 0.002  # seconds for one match: then the requestor gets each as soon as it is there
_LONGEST_DELAY = 0.02  # seconds that a match may wait for others

Clock = Callable[[], float]


class SingleResponses:
    """Writes each response when it comes."""

    def __init__(self, channel: Channel, request: Message) -> None:
        self._channel = channel
        self._request = request

    def write(self, response: Response) -> None:
        """Take the next response. Raises Ending."""
        self._channel.write(self._encode(response))

    def _encode(self, response: Response) -> list[Buffer]:
        context = self._request.context
        data = None if response.identifier is None else response.identifier.encode(context.transfer_syntax)
        encoded = command.response(self._request.command, response, has_data_set=data is not None)
        return self._channel.message(context.context_id, encoded, data)


class RetrieveResponses(SingleResponses):
    """Thins Pendings out in time; with `rides` one that is due goes in front of the next C-STORE request.

    What is held back is written before anything later, at the next heartbeat or final response at the latest.
    """

    def __init__(
        self, channel: Channel, request: Message, *, interval: float, rides: bool, clock: Clock = time.monotonic
    ) -> None:
        super().__init__(channel, request)
        self._interval = interval
        self._rides = rides
        self._clock = clock
        self._last = clock()

    def write(self, response: Response) -> None:
        """Take the next response. Raises Ending."""
        if response.status not in PENDING:
            super().write(response)
            return
        now = self._clock()
        if not self._channel.holds and now - self._last < self._interval:
            return
        self._last = now
        if self._rides and not self._channel.holds:
            self._channel.hold(self._encode(response))
        else:
            super().write(response)


class FindResponses(SingleResponses):
    """Batches matches while their source is fast."""

    def __init__(self, channel: Channel, request: Message, *, clock: Clock = time.monotonic) -> None:
        super().__init__(channel, request)
        self._clock = clock
        self._batch: list[Buffer] = []
        self._length = 0
        self._oldest = self._asked = clock()
        self._plain: dict[int, bytes] = {}  # status -> command set of a match

    def write(self, response: Response) -> None:
        """Take the next response. Raises Ending."""
        now = self._clock()
        slow = now - self._asked > _SLOW_SOURCE
        if not self._batch:
            self._oldest = now
        encoded = self._encode(response)
        self._batch += encoded
        self._length += sum(map(len, encoded))
        full = self._length >= _BATCH or len(self._batch) >= _BATCH_BUFFERS
        if full or slow or response.status not in PENDING or now - self._oldest > _LONGEST_DELAY:
            self._channel.write(self._batch)
            self._batch, self._length = [], 0
        self._asked = self._clock()

    def _encode(self, response: Response) -> list[Buffer]:
        if response.identifier is None or response.comment or response.offending_tags or response.counts:
            return super()._encode(response)
        encoded = self._plain.get(response.status)
        if encoded is None:
            encoded = command.response(self._request.command, response, has_data_set=True)
            self._plain[response.status] = encoded
        context = self._request.context
        data = response.identifier.encode(context.transfer_syntax)
        return self._channel.message(context.context_id, encoded, data)
