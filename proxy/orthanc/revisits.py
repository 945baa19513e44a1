"""Retrieves of what was retrieved before: the remembered listing, where Orthanc proves in a cheap call that it holds.

A listing of a thousand instances costs Orthanc 40 to 150 ms, more than sending them from the cache. Each listing is
therefore kept with a seal, and used again only while the seal that is asked for anew is the same.

From 1.12.5 on the seal is the FileUuid of every instance: all that a listing is trusted for. Before, it is the ids of
all instances and the LastUpdate of their series. That has whole seconds and changes when an instance arrives or is
overwritten, so a listing made within the last seconds is not kept; deletions show in the ids (1.10.1 leaves LastUpdate
alone then). From 1.11.0 on Orthanc can also encode its files anew, which nothing but their sizes tells.
"""

import threading
from collections.abc import Hashable
from datetime import timedelta
from typing import NamedTuple

from cachetools import LRUCache

from proxy.dicom.identifier import RetrieveKeys
from proxy.dicom.level import Level
from proxy.dicom.messages import Located
from proxy.orthanc.answers import time_of
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.listing import PARENT, dicom_attachment, list_below, locate_by

_MOST = 50_000  # instances remembered, a few hundred bytes each
_SETTLED = timedelta(seconds=2)  # an event after this long has another LastUpdate
_ROUTE: dict[Level, str] = {"PATIENT": "patients", "STUDY": "studies", "SERIES": "series"}


class _Remembered(NamedTuple):
    seal: Hashable
    located: list[Located]


class Revisits:
    """Locates as `listing.locate` does, and remembers. Thread-safe."""

    def __init__(self, client: OrthancClient) -> None:
        self._client = client
        self._listings: LRUCache[str, _Remembered] = LRUCache(_MOST, getsizeof=lambda entry: len(entry.located) + 1)
        self._lock = threading.Lock()

    def locate(self, keys: RetrieveKeys) -> list[Located]:
        """All instances that fit `keys`, as Orthanc holds them this very moment. Raises OrthancError."""
        return locate_by(self._below, self._client, keys)

    def _below(self, client: OrthancClient, level: Level, resource: str) -> list[Located]:
        with self._lock:
            known = self._listings.get(resource)
        if known is not None and known.seal == current_seal(client, level, resource):
            return known.located
        listed = _by_files if client.capabilities.mode == "extended" else _by_updates
        seal, located = listed(client, level, resource)
        with self._lock:
            self._listings.pop(resource, None)
            if seal is not None and len(located) < _MOST:
                self._listings[resource] = _Remembered(seal, located)
        return located


def current_seal(client: OrthancClient, level: Level, resource: str) -> Hashable:
    """What is equal as long as nothing below `resource` changed. Raises OrthancError."""
    if client.capabilities.mode != "extended":
        return _updates(client, level, resource)
    body = {"Level": "Instance", "Query": {}, PARENT[level]: resource, "ResponseContent": ["Attachments"]}
    return frozenset((item["ID"], dicom_attachment(item).get("Uuid", "")) for item in client.find(body))


def _by_files(client: OrthancClient, level: Level, resource: str) -> tuple[Hashable, list[Located]]:
    located = list_below(client, level, resource)
    return frozenset((one.instance_id, one.file_uuid) for one in located), located


def _by_updates(client: OrthancClient, level: Level, resource: str) -> tuple[Hashable, list[Located]]:
    """The seal is None where something happened too short a time ago.

    The clock is read first: all that happens from then on gets another LastUpdate than the seal has.
    """
    now = client.now()
    seal = _updates(client, level, resource)
    is_settled = all(last and now - time_of(last) >= _SETTLED for _, last, _ in seal.series)
    return seal if is_settled else None, list_below(client, level, resource)


class _Updates(NamedTuple):
    series: frozenset[tuple[str, str, frozenset[str]]]  # id, LastUpdate, ids of the instances
    size: str


def _updates(client: OrthancClient, level: Level, resource: str) -> _Updates:
    found = client.bulk_content({"Resources": [resource], "Level": "Series", "Metadata": True, "Short": True})
    series = frozenset(
        (str(one["ID"]), str((one.get("Metadata") or {}).get("LastUpdate", "")), frozenset(one["Instances"]))
        for one in found
    )
    if client.capabilities.mode == "legacy":
        return _Updates(series, "")
    return _Updates(series, str(client.statistics(_ROUTE[level], resource).get("UncompressedSize", "")))
