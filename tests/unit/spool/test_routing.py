"""The first route that matches decides; without one, forward_to or the backend."""

import pytest

from proxy.config import Pipeline
from proxy.spool.routing import targets_of

ROUTES = [
    {"calling_aet": ["CT_*"], "modality": ["CT", "PT"], "forward_to": ["archive"]},
    {"sop_class": ["1.2.840.10008.5.1.4.1.1.88.*"], "forward_to": ["reports", "orthanc", "reports"]},
]


@pytest.mark.parametrize(
    ("calling_aet", "modality", "sop_class_uid", "targets"),
    [
        ("CT_1", "CT", "1.2", ("archive",)),
        ("CT_1", "PT", "1.2", ("archive",)),
        ("CT_1", "MR", "1.2", ("orthanc", "second")),
        ("ct_1", "CT", "1.2", ("orthanc", "second")),
        ("MR_1", "SR", "1.2.840.10008.5.1.4.1.1.88.11", ("reports", "orthanc")),
        ("CT_1", "CT", "1.2.840.10008.5.1.4.1.1.88.11", ("archive",)),
    ],
)
def test_the_first_matching_route_wins(
    calling_aet: str, modality: str, sop_class_uid: str, targets: tuple[str, ...]
) -> None:
    pipeline = Pipeline.model_validate({"aet": "X", "forward_to": ["orthanc", "second"], "routes": ROUTES})
    assert targets_of(pipeline, calling_aet, modality, sop_class_uid) == targets


def test_without_any_setting_the_backend_gets_it() -> None:
    assert targets_of(Pipeline(aet="X", backend="main"), "A", "CT", "1.2") == ("main",)
