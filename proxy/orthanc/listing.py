"""Which instances a retrieve means, as Orthanc holds them this very moment.

The answer carries Orthanc's FileUuid for each instance, which changes whenever its file does: the cache is asked for
that file and no other, so nothing stale can be served (invariant 1). Orthanc's own lookup by identifier folds case
and punctuation; here every value is compared with what the resource really has.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from proxy.dicom.identifier import RetrieveKeys
from proxy.dicom.match import name_of
from proxy.dicom.messages import Located
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.query import ORTHANC_LEVEL, locate_query

_SOP_INSTANCE, _INSTANCE_NUMBER = name_of(0x00080018), name_of(0x00200013)
_DICOM = 1  # the content type of the attachment that is the DICOM file


def locate(client: OrthancClient, keys: RetrieveKeys) -> list[Located]:
    """All instances that fit `keys`, series by series in the order of their numbers. Raises OrthancError."""
    resources = _resources(client, keys)
    if not resources:
        return []
    if client.capabilities.mode == "extended":
        found = _extended(client, keys, resources)
    else:
        body = {"Resources": resources, "Level": "Instance", "Metadata": True, "Short": True}
        found = client.bulk_content(body)
    return [_located(item) for item in sorted(found, key=_order)]


def _resources(client: OrthancClient, keys: RetrieveKeys) -> list[str]:
    """Orthanc's ids of what is asked for, at the level of the request, each compared exactly."""
    body: dict[str, Any] = {
        "Level": ORTHANC_LEVEL[keys.level],
        "Query": locate_query(keys),
        "CaseSensitive": True,
        "Expand": False,
    }
    return [str(resource) for resource in client.find_ids(body)]


def _extended(client: OrthancClient, keys: RetrieveKeys, resources: Sequence[str]) -> list[dict[str, Any]]:
    """The instances below the resources, in one call for each."""
    content = ["MainDicomTags", "Metadata", "Attachments", "Parent"]
    if keys.level == "IMAGE":
        body = {"Level": "Instance", "Query": locate_query(keys), "CaseSensitive": True, "Short": True}
        return client.find({**body, "ResponseContent": content})
    parent = {"PATIENT": "ParentPatient", "STUDY": "ParentStudy", "SERIES": "ParentSeries"}[keys.level]
    found: list[dict[str, Any]] = []
    for resource in resources:
        body = {"Level": "Instance", "Query": {}, parent: resource, "Short": True}
        found += client.find({**body, "ResponseContent": content})
    return found


def _located(item: dict[str, Any]) -> Located:
    metadata = item.get("Metadata") or {}
    attachment = _dicom_attachment(item.get("Attachments") or ())
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


def _dicom_attachment(attachments: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return next((one for one in attachments if one.get("ContentType") == _DICOM), {})


def _order(item: dict[str, Any]) -> tuple[str, int, str]:
    number = str((item.get("MainDicomTags") or {}).get(_INSTANCE_NUMBER, "")).strip()
    return str(item.get("ParentSeries", "")), int(number) if number.lstrip("-").isdecimal() else 0, str(item["ID"])
