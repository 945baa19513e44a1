"""Orthanc's table of AE titles (DicomModalities), as GET /modalities?expand tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SERVICES = {"AllowEcho": "echo", "AllowFind": "find", "AllowGet": "get", "AllowMove": "move", "AllowStore": "store"}


@dataclass(frozen=True, slots=True)
class Modality:
    """One entry. `services` are those it may use of Orthanc; `local_aet` is Orthanc's title towards it, or ""."""

    name: str
    aet: str
    host: str
    port: int
    services: frozenset[str]
    tls: bool = False
    local_aet: str = ""


def modalities_of(table: Mapping[str, Any]) -> dict[str, Modality]:
    """By symbolic name; entries that make no sense are left out."""
    return {name: _modality(name, entry) for name, entry in table.items() if isinstance(entry, Mapping)}


def _modality(name: str, entry: Mapping[str, Any]) -> Modality:
    services = {service for key, service in _SERVICES.items() if entry.get(key, True)}
    if entry.get("AllowStorageCommitment", entry.get("AllowNAction", True)):
        services.add("commitment")
    return Modality(
        name=name,
        aet=str(entry.get("AET", "")).strip(),
        host=str(entry.get("Host", "")),
        port=int(entry.get("Port", 0)),
        services=frozenset(services),
        tls=bool(entry.get("UseDicomTls", False)),
        local_aet=str(entry.get("LocalAet", "")),
    )
