"""From the AE title of a Move Destination to where it is: [destinations] first, then Orthanc's own modalities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from proxy.access import same_aet
from proxy.config import Destination
from proxy.dicom.contexts import Proposal
from proxy.dicom.messages import Receiver
from proxy.errors import OrthancRefused, UnknownDestination


class Modality(Protocol):
    """What is needed of an entry of Orthanc's DicomModalities. `local_aet` is Orthanc's title towards it, or ""."""

    @property
    def aet(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def tls(self) -> bool: ...

    @property
    def local_aet(self) -> str: ...


@dataclass(frozen=True, slots=True)
class MoveDestination:
    """A Move Destination that is known. `name` is its [destinations.NAME], `modality` its name in Orthanc, or ""."""

    aet: str
    host: str
    port: int
    tls: bool = False
    calling_aet: str = ""
    name: str = ""
    modality: str = ""


class OpenReceiver(Protocol):
    """Opens an association with a Move Destination. Raises DestinationUnreachable."""

    def __call__(
        self,
        destination: MoveDestination,
        *,
        calling_aet: str,
        contexts: Sequence[Proposal],
        originator: tuple[str, int],
    ) -> Receiver: ...


@dataclass(frozen=True, slots=True)
class Destinations:
    """The Move Destinations there are. `modalities` asks Orthanc, name -> entry; it raises OrthancUnavailable."""

    configured: Mapping[str, Destination]
    modalities: Callable[[], Mapping[str, Modality]]

    def resolve(self, aet: str) -> MoveDestination:
        """Where that AE title is. Raises UnknownDestination, or OrthancUnavailable where only Orthanc could tell."""
        for name, entry in self.configured.items():
            if same_aet(entry.aet, aet):
                return MoveDestination(entry.aet, entry.host, entry.port, entry.tls, entry.calling_aet or "", name=name)
        modality = self._modality(aet)
        if modality is None:
            raise UnknownDestination(f"Move Destination {aet.strip()!r} is unknown")
        return modality

    def in_orthanc(self, aet: str) -> MoveDestination:
        """The same where Orthanc does the sending and so has to know it. Raises UnknownDestination."""
        modality = self._modality(aet)
        if modality is None:
            raise UnknownDestination(f"Orthanc has no modality {aet.strip()!r}")
        return modality

    def _modality(self, aet: str) -> MoveDestination | None:
        for name, entry in self.modalities().items():
            if same_aet(entry.aet, aet):
                return MoveDestination(entry.aet, entry.host, entry.port, entry.tls, entry.local_aet, modality=name)
        return None


class Titled(Protocol):
    """Something with an AE title of its own."""

    @property
    def dicom_aet(self) -> str: ...


class Itself(Protocol):
    """What Orthanc knows of itself."""

    def modalities(self) -> Mapping[str, Modality]:
        """Its entries by name. Raises OrthancUnavailable."""

    @property
    def capabilities(self) -> Titled:
        """Its own AE title, among others. Raises OrthancUnavailable."""


def own_modality(orthanc: Itself, configured: str) -> str:
    """Orthanc's name for its entry of itself: the configured one, else that with its own AE title.

    Raises OrthancRefused where there is none.
    """
    modalities = orthanc.modalities()
    if configured:
        if configured not in modalities:
            raise OrthancRefused("Orthanc has no modality of the name in self_modality")
        return configured
    aet = orthanc.capabilities.dicom_aet
    found = next((name for name, entry in modalities.items() if same_aet(entry.aet, aet)), "")
    if not found:
        raise OrthancRefused("Orthanc has no modality entry for itself")
    return found
