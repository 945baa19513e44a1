"""Every error that some caller catches, or that the DICOM border answers in its own way.

    ProxyError                  .comment -> (0000,0902) Error Comment
      InvalidIdentifier         .offending_tags -> (0000,0901) Offending Element
        UnreadableIdentifier    it cannot even be decoded
      InvalidInstance           a received data set that cannot be taken as DICOM
      AccessDenied              the service is not granted to this requestor
      UnknownDestination        a Move Destination nobody has told us of
      DestinationUnreachable    a Move Destination that does not let us in
      NoAcceptableContext       one instance that this receiver cannot take
      ReceiverLost              the association that carries the sub-operations has ended
      OrthancError
        OrthancUnavailable      refused, timed out, 5xx after the retries: may work later
        OrthancRefused          4xx or nonsense: will not work later
        InstanceGone            404 for something that was just located
      SpoolFull                 no room to accept another instance
    ConfigError                 never meets the wire: printed by the command line, exit status 2

Anything else is a bug of ours. `proxy.dicom.status.status_for` turns these into DIMSE statuses.
"""


class ProxyError(Exception):
    """An error with an answer for the peer.

    `comment` becomes the Error Comment: at most 64 characters (PS3.7 C, LO) and never patient data.
    """

    def __init__(self, comment: str) -> None:
        super().__init__(comment)
        self.comment = comment[:64]


class InvalidIdentifier(ProxyError):
    """Raised when a C-FIND, C-GET or C-MOVE identifier is not legal for its SOP class."""

    def __init__(self, comment: str, offending_tags: tuple[int, ...] = ()) -> None:
        super().__init__(comment)
        self.offending_tags = offending_tags


class UnreadableIdentifier(InvalidIdentifier):
    """Raised when an identifier cannot be decoded at all: truncated, lying lengths, absurd nesting."""


class InvalidInstance(ProxyError):
    """Raised when a C-STORE data set cannot be taken as the instance its command announces.

    `mismatch` tells a data set that contradicts its command or SOP class (A900) from one that cannot be
    understood (C000), PS3.4 B.2.3.
    """

    def __init__(self, comment: str, *, mismatch: bool = False) -> None:
        super().__init__(comment)
        self.mismatch = mismatch


class AccessDenied(ProxyError):
    """Raised when no rule grants this requestor the service it asks for."""


class UnknownDestination(ProxyError):
    """Raised when neither the configuration nor Orthanc knows the Move Destination."""


class DestinationUnreachable(ProxyError):
    """Raised when no association with the Move Destination can be had."""


class NoAcceptableContext(ProxyError):
    """Raised when an instance cannot be sent to this receiver in any way; fails one sub-operation."""


class ReceiverLost(ProxyError):
    """Raised when the association that carries the sub-operations ends under them."""


class OrthancError(ProxyError):
    """Something between us and Orthanc went wrong."""


class OrthancUnavailable(OrthancError):
    """Raised when Orthanc cannot be reached, times out or answers 5xx after the retries; may work later."""


class OrthancRefused(OrthancError):
    """Raised when Orthanc answers 4xx or nonsense; asking again will not help.

    `http_status` is 0 where the answer was no sensible HTTP; `orthanc_status` is Orthanc's own error code.
    """

    def __init__(self, comment: str, http_status: int = 0, orthanc_status: int = 0) -> None:
        super().__init__(comment)
        self.http_status = http_status
        self.orthanc_status = orthanc_status


class InstanceGone(OrthancError):
    """Raised when Orthanc answers 404 for an instance that it named a moment ago."""


class SpoolFull(ProxyError):
    """Raised when the spool has no room for another instance."""


class ConfigError(Exception):
    """Raised when the configuration is not usable; `complaints` holds one line for every problem found."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints
