import pytest

from proxy.dicom.identifier import RetrieveKeys
from proxy.errors import OrthancUnavailable
from proxy.orthanc.answers import time_of
from proxy.orthanc.revisits import Revisits
from proxy.orthanc.version import Capabilities

_STUDY = RetrieveKeys("STUDY", {0x0020000D: ("1.2",)})
_SERIES, _UUIDS = "series-1", ("uuid-1", "uuid-2")


class Orthanc:
    """Answers as OrthancClient does, for one study of two instances, and counts the questions."""

    def __init__(self, mode):
        self.capabilities = Capabilities("1.12.7", mode, transcodes=True, move_is_job=True)
        self.files = dict(zip(("a", "b"), _UUIDS, strict=True))
        self.last_update, self.clock, self.size = "20260105T101500", "20260105T101600", 200
        self.asked = []
        self.fails = False

    def find_ids(self, body):
        return ["study-1"]

    def find(self, body):
        """tools/find at instance level, from 1.12.5 on."""
        content = body["ResponseContent"]
        self._note("listing" if "Metadata" in content else "seal")
        return [self._instance(name, uuid) for name, uuid in self.files.items()]

    def bulk_content(self, body):
        if body["Level"] == "Instance":
            self._note("listing")
            return [self._instance(name, uuid) for name, uuid in self.files.items()]
        self._note("seal")
        return [{"ID": _SERIES, "Metadata": {"LastUpdate": self.last_update}, "Instances": list(self.files)}]

    def statistics(self, level, resource):
        assert (level, resource) == ("studies", "study-1")
        return {"UncompressedSize": str(self.size)}

    def now(self):
        return time_of(self.clock)

    def _note(self, what):
        if self.fails:
            raise OrthancUnavailable("away")
        self.asked.append(what)

    @staticmethod
    def _instance(name, uuid):
        tags = {"0008,0018": f"1.2.{name}", "0020,0013": "1"}
        return {"ID": name, "MainDicomTags": tags, "Attachments": [{"ContentType": 1, "Uuid": uuid}], "FileUuid": uuid}


def _files(located):
    return {one.instance_id: one.file_uuid for one in located}


@pytest.fixture(params=["extended", "requested", "legacy"])
def orthanc(request):
    return Orthanc(request.param)


def test_what_did_not_change_is_not_listed_again(orthanc):
    revisits = Revisits(orthanc)
    first = revisits.locate(_STUDY)
    assert _files(first) == orthanc.files
    orthanc.asked.clear()
    assert revisits.locate(_STUDY) == first
    assert orthanc.asked == ["seal"]


def test_an_overwritten_instance_is_located_anew(orthanc):
    revisits = Revisits(orthanc)
    revisits.locate(_STUDY)
    orthanc.files["a"], orthanc.last_update = "uuid-3", "20260105T101700"
    assert _files(revisits.locate(_STUDY)) == {"a": "uuid-3", "b": "uuid-2"}


def test_a_deleted_instance_is_gone_though_last_update_stands_still(orthanc):
    revisits = Revisits(orthanc)
    revisits.locate(_STUDY)
    del orthanc.files["a"]
    assert _files(revisits.locate(_STUDY)) == {"b": "uuid-2"}


@pytest.mark.parametrize("orthanc", ["requested", "legacy"], indirect=True)
def test_a_listing_from_the_same_second_as_an_update_is_not_trusted(orthanc):
    orthanc.clock = "20260105T101501"
    revisits = Revisits(orthanc)
    revisits.locate(_STUDY)
    orthanc.files["a"] = "uuid-3"  # within the second that LastUpdate names already
    assert _files(revisits.locate(_STUDY)) == {"a": "uuid-3", "b": "uuid-2"}


@pytest.mark.parametrize("orthanc", ["requested", "extended"], indirect=True)
def test_files_that_orthanc_encoded_anew_are_noticed_without_any_event(orthanc):
    revisits = Revisits(orthanc)
    revisits.locate(_STUDY)
    orthanc.files, orthanc.size = {"a": "uuid-3", "b": "uuid-4"}, 150
    assert _files(revisits.locate(_STUDY)) == orthanc.files


def test_nothing_is_answered_from_memory_while_orthanc_is_away(orthanc):
    revisits = Revisits(orthanc)
    revisits.locate(_STUDY)
    orthanc.fails = True
    with pytest.raises(OrthancUnavailable):
        revisits.locate(_STUDY)


def test_single_instances_are_always_asked_for(orthanc):
    revisits, keys = Revisits(orthanc), RetrieveKeys("IMAGE", {0x00080018: ("1.2.a",)})
    revisits.locate(keys)
    revisits.locate(keys)
    assert orthanc.asked == ["listing", "listing"]
