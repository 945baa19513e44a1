"""What Orthanc says by REST: the truth that answers over DICOM are compared with."""

import io
from pathlib import Path

from pydicom import Dataset, dcmread

from proxy.demo.orthanc import Orthanc
from tests.support.instances import part10


def upload(orthanc: Orthanc, *datasets: Dataset | bytes) -> list[str]:
    """Store them; Orthanc's ids. Raises AssertionError when it refuses one."""
    ids = []
    for dataset in datasets:
        instance_id = orthanc.upload(dataset if isinstance(dataset, bytes) else part10(dataset))
        assert instance_id is not None, "Orthanc refuses this instance"
        ids.append(instance_id)
    return ids


def lookup(orthanc: Orthanc, level: str, **query: str) -> list[str]:
    """Orthanc's ids of what matches; `level` as "Study", keys as keywords of the dictionary."""
    ids: list[str] = orthanc.post("/tools/find", {"Level": level, "Query": query, "CaseSensitive": True})
    return ids


def stored_files(orthanc: Orthanc, **query: str) -> dict[str, bytes]:
    """SOP Instance UID -> DICOM file, of every instance that matches."""
    found = {}
    for instance_id in lookup(orthanc, "Instance", **query):
        file = orthanc.get_bytes(f"/instances/{instance_id}/file")
        found[str(dcmread(io.BytesIO(file), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)] = file
    return found


def assert_same_instances(received: list[Path] | list[Dataset], stored: dict[str, bytes]) -> None:
    """Assert that what arrived is exactly what Orthanc holds: the same UIDs, the same attributes and pixels."""
    datasets = [item if isinstance(item, Dataset) else dcmread(item) for item in received]
    by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
    assert len(by_uid) == len(datasets), "an instance arrived twice"
    assert by_uid.keys() == stored.keys()
    for uid, dataset in by_uid.items():
        original = dcmread(io.BytesIO(stored[uid]))
        assert _content(dataset) == _content(original), f"{uid} arrived changed"


def _content(dataset: Dataset) -> dict[int, object]:
    """What must survive: every element but group lengths and padding, values as text, pixels as bytes."""
    content: dict[int, object] = {}
    for element in dataset:
        if element.tag.element == 0 or element.tag == 0xFFFCFFFC:
            continue
        value = element.value
        content[int(element.tag)] = value.rstrip(b"\0") if isinstance(value, bytes) else str(value)
    return content
