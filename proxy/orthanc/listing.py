"""Which instances a retrieve means, as Orthanc holds them this very moment.

The answer carries Orthanc's FileUuid for each instance, which changes whenever its file does: the cache is asked for
that file and no other, so nothing stale can be served (invariant 1). Orthanc's own lookup by identifier folds case
and punctuation; here every value is compared with what the resource really has.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proxy.dicom.identifier import RetrieveKeys
from proxy.dicom.level import Level
from proxy.dicom.match import name_of
from proxy.dicom.messages import Located
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.query import ORTHANC_LEVEL, locate_query

_SOP_INSTANCE, _INSTANCE_NUMBER = name_of(0x00080018), name_of(0x00200013)
_DICOM = 1  # the content type of the attachment that is the DICOM file
PARENT: dict[Level, str] = {"PATIENT": "ParentPatient", "STUDY": "ParentStudy", "SERIES": "ParentSeries"}
"""Orthanc's words for "below this resource" in tools/find, from 1.12.5 on."""
_CONTENT = ["MainDicomTags", "Metadata", "Attachments", "Parent"]

Below = Callable[[OrthancClient, Level, str], list[Located]]
"""All instances below one resource, as `list_below` gives them."""


def locate(client: OrthancClient, keys: RetrieveKeys) -> list[Located]:
    """All instances that fit `keys`, series by series in the order of their numbers. Raises OrthancError."""
    return locate_by(list_below, client, keys)


def locate_by(below: Below, client: OrthancClient, keys: RetrieveKeys) -> list[Located]:
    """The same, with another way to list what lies below a resource."""
    if keys.level == "IMAGE":
        return _instances(client, keys)
    return [located for resource in _resources(client, keys) for located in below(client, keys.level, resource)]


def list_below(client: OrthancClient, level: Level, resource: str) -> list[Located]:
    """The instances of a patient, study or series, told in one call. Raises OrthancError."""
    if client.capabilities.mode == "extended":
        body = {"Level": "Instance", "Query": {}, PARENT[level]: resource, "Short": True}
        return _ordered(client.find({**body, "ResponseContent": _CONTENT}))
    return _content(client, [resource])


def _instances(client: OrthancClient, keys: RetrieveKeys) -> list[Located]:
    if client.capabilities.mode == "extended":
        body = {"Level": "Instance", "Query": locate_query(keys), "CaseSensitive": True, "Short": True}
        return _ordered(client.find({**body, "ResponseContent": _CONTENT}))
    resources = _resources(client, keys)
    return _content(client, resources) if resources else []


def _content(client: OrthancClient, resources: Sequence[str]) -> list[Located]:
    return _ordered(client.bulk_content({"Resources": resources, "Level": "Instance", "Metadata": True, "Short": True}))


def _resources(client: OrthancClient, keys: RetrieveKeys) -> list[str]:
    """Orthanc's ids of what is asked for, at the level of the request, each compared exactly."""
    body: dict[str, Any] = {
        "Level": ORTHANC_LEVEL[keys.level],
        "Query": locate_query(keys),
        "CaseSensitive": True,
        "Expand": False,
    }
    return [str(resource) for resource in client.find_ids(body)]


def _ordered(found: Iterable[dict[str, Any]]) -> list[Located]:
    return [_located(item) for item in sorted(found, key=_order)]


def _located(item: dict[str, Any]) -> Located:
    metadata = item.get("Metadata") or {}
    attachment = dicom_attachment(item)
    return Located(
        instance_id=str(item["ID"]),
        file_uuid=str(attachment.get("Uuid") or item.get("FileUuid") or ""),
        series_id=str(item.get("ParentSeries", "")),
        sop_instance_uid=str((item.get("MainDicomTags") or {}).get(_SOP_INSTANCE, "")),
        sop_class_uid=str(metadata.get("SopClassUid", "")),
        transfer_syntax=str(metadata.get("TransferSyntax", "")),
        size=int(attachment.get("UncompressedSize") or item.get("FileSize") or 0),
        md5=str(attachment.get("UncompressedMD5", "")),
    )


def dicom_attachment(item: dict[str, Any]) -> dict[str, Any]:
    """What Orthanc tells of the file itself; nothing where it told no attachments."""
    return next((one for one in item.get("Attachments") or () if one.get("ContentType") == _DICOM), {})


def _order(item: dict[str, Any]) -> tuple[str, int, str]:
    number = str((item.get("MainDicomTags") or {}).get(_INSTANCE_NUMBER, "")).strip()
    return str(item.get("ParentSeries", "")), int(number) if number.lstrip("-").isdecimal() else 0, str(item["ID"])
