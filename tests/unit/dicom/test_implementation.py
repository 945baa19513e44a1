import re

from proxy.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def test_our_names_are_legal():
    """PS3.5 9.1 and B.2 (UIDs), PS3.7 D.3.3.2 (1 to 16 characters)."""
    assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]{0,38})", IMPLEMENTATION_CLASS_UID)
    assert len(IMPLEMENTATION_CLASS_UID) <= 64
    assert re.fullmatch(r"[\x20-\x7e]{1,16}", IMPLEMENTATION_VERSION_NAME)
