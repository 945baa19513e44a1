"""What Orthanc really holds of a list of SOP Instance UIDs, each with its SOP class."""

from collections.abc import Iterable
from itertools import islice

from proxy.dicom.identifier import RetrieveKeys
from proxy.orthanc.client import OrthancClient
from proxy.orthanc.listing import locate

_SOP_INSTANCE = 0x00080018
_AT_ONCE = 500


def holdings(client: OrthancClient, sop_instance_uids: Iterable[str]) -> dict[str, set[str]]:
    """SOP Instance UID -> its SOP classes ("" where Orthanc does not tell). Raises OrthancError."""
    held: dict[str, set[str]] = {}
    uids = iter(dict.fromkeys(sop_instance_uids))
    while batch := tuple(islice(uids, _AT_ONCE)):
        for located in locate(client, RetrieveKeys("IMAGE", {_SOP_INSTANCE: batch})):
            held.setdefault(located.sop_instance_uid, set()).add(located.sop_class_uid)
    return held
