"""The unique keys of what was located, from its level up to the study: what Orthanc needs to name it to another node.

A C-MOVE names a series within its study and an image within its series (PS3.4 C.4.2.2.1), and Orthanc 1.10 refuses
to ask for anything less.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from proxy.dicom.level import NAMED_BY, Level
from proxy.dicom.messages import Located
from proxy.orthanc.client import OrthancClient


def unique_keys(client: OrthancClient, level: Level, located: Sequence[Located]) -> list[dict[str, str]]:
    """The patients, studies, series or images that `located` belongs to, each once. Raises OrthancError."""
    series = _by_id(client, "Series", {instance.series_id for instance in located})
    studies = _by_id(client, "Study", {str(one["ParentStudy"]) for one in series.values()})
    patients = _by_id(client, "Patient", {str(one["ParentPatient"]) for one in studies.values()})
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for instance in located:
        if instance.series_id in series:
            above = series[instance.series_id]
            study = studies.get(above["ParentStudy"], {})
            patient = patients.get(study.get("ParentPatient", ""), {})
            own = {"SOPInstanceUID": instance.sop_instance_uid}
            tags = {**_main(patient), **_main(study), **_main(above), **own}
            names = {keyword: str(tags.get(keyword, "")) for keyword in NAMED_BY[level]}
            found.setdefault(tuple(names.values()), names)
    return list(found.values())


def _by_id(client: OrthancClient, level: str, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    answers = client.bulk_content({"Resources": sorted(ids), "Level": level})
    return {str(answer["ID"]): answer for answer in answers}


def _main(item: Mapping[str, Any]) -> Mapping[str, Any]:
    tags: Mapping[str, Any] = item.get("MainDicomTags") or {}
    return tags
