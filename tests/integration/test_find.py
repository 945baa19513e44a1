"""C-FIND of the proxy beside C-FIND of the Orthanc behind it: the same questions, the same sets of answers.

Where Orthanc itself strays from the Standard, or knows less than its REST API tells, `BETTER` says what the proxy
answers instead, why, and on which release the two differ.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue
from pydicom.uid import MRImageStorage
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from proxy.demo.orthanc import Orthanc
from tests.support.dcmtk import Dcmtk, Outcome
from tests.support.find_population import (
    PREFIX,
    find_population,
    series_uid,
    sop_uid,
    store_find_population,
    study_uid,
)
from tests.support.orthanc_releases import Release, make_orthanc
from tests.support.population import populate
from tests.support.proxy_process import Proxy, ProxyPool
from tests.support.scu import PATIENT_FIND, PATIENT_GET, STUDY_FIND, STUDY_MOVE, Answer, Scu, associated, keys

STUDIES = 8
_UNORDERED = {"ModalitiesInStudy", "SOPClassesInStudy"}
_ISO_2022 = ["", "ISO 2022 IR 87"]


@dataclass(frozen=True)
class Pair:
    """An Orthanc and the proxy before it, with an association to each."""

    orthanc: Orthanc
    proxy: Proxy
    native: Scu
    proxied: Scu
    release: str


@pytest.fixture(scope="module")
def pair(release: Release, proxies: ProxyPool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Orthanc answers in UTF-8 here: in its default, Latin-1, it drops what does not fit."""
    orthanc = make_orthanc(
        release, tmp_path_factory.mktemp("find"), DefaultEncoding="Utf8", DicomScpTimeout=0, LimitFindResults=0
    )
    try:
        orthanc.start()
        populate(orthanc)
        store_find_population(orthanc)
        proxy = proxies.get(orthanc, {"limits": {"results": 60}})
        with (
            associated(orthanc.dicom_port, orthanc.aet, images=()) as native,
            associated(proxy.dicom_port, proxy.aet, images=()) as proxied,
        ):
            yield Pair(orthanc, proxy, native, proxied, release.name)
    finally:
        orthanc.kill()


# ---- the questions


def ask(level: str | None, model: str = STUDY_FIND, charset: object = None, **values: object) -> tuple[Dataset, str]:
    """An identifier and its model; values that pydicom would warn about are meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        identifier = keys(level, **values)
    if charset is not None:
        identifier.SpecificCharacterSet = charset
    return identifier, model


def among(**values: object) -> tuple[Dataset, str]:
    """A study-level question about the studies of `find_population` alone."""
    charset = values.pop("charset", "ISO_IR 192")
    studies = [study_uid(number) for number in range(1, STUDIES + 1)]
    return ask("STUDY", charset=charset, **{"StudyInstanceUID": studies, **values})


def item(**values: object) -> list[Dataset]:
    """A sequence with one item, for a key."""
    return [keys(None, **values)]


def private(**values: str) -> tuple[Dataset, str]:
    """A question for a private element of study 7."""
    identifier, model = ask("STUDY", StudyInstanceUID=study_uid(7), PatientID="")
    block = identifier.private_block(0x0009, "ACME", create=True)
    block.add_new(0x01, "LO", values.get("value", ""))
    return identifier, model


S1 = {"StudyInstanceUID": study_uid(1)}
S1_CT = {**S1, "SeriesInstanceUID": series_uid(1, 1)}
ANY = {"StudyInstanceUID": "", "PatientID": ""}

SAME: Mapping[str, tuple[Dataset, str]] = {
    # levels and models
    "all patients": ask("PATIENT", PATIENT_FIND, PatientID="", PatientName="", PatientBirthDate="", PatientSex=""),
    "all studies": ask("STUDY", PatientName="", StudyDate="", StudyTime="", AccessionNumber="", StudyID="", **ANY),
    "all studies, patient root": ask("STUDY", PATIENT_FIND, StudyDescription="", ReferringPhysicianName="", **ANY),
    "all series": ask("SERIES", SeriesInstanceUID="", Modality="", SeriesNumber="", SeriesDescription="", **ANY),
    "series of a study": ask("SERIES", SeriesInstanceUID="", BodyPartExamined="", **S1),
    "series with keys of their study": ask("SERIES", SeriesInstanceUID="", PatientName="", StudyDate="", **S1),
    "images of a series": ask("IMAGE", SOPInstanceUID="", InstanceNumber="", SOPClassUID="", **S1_CT),
    "images of a series, patient root": ask("IMAGE", PATIENT_FIND, PatientID="F-1", SOPInstanceUID="", **S1_CT),
    "keys that Orthanc does not index": ask("IMAGE", SOPInstanceUID="", Columns="", AcquisitionDateTime="", **S1_CT),
    "PATIENT in the study root": ask("PATIENT", PatientID="F-1"),
    "a level in small letters": ask("study", **S1),
    "a level by another name": ask("INSTANCE", SOPInstanceUID=sop_uid(1, 1, 1)),
    "nothing but a level": ask("STUDY"),
    "no unique key": ask("STUDY", PatientName="Doe*"),
    # relational
    "series of a patient": ask("SERIES", PatientID="F-1", SeriesInstanceUID=""),
    "series of a modality": ask("SERIES", Modality="SR", SeriesInstanceUID=""),
    "images of a patient": ask("IMAGE", PatientID="F-1", SOPInstanceUID=""),
    # single values and wildcards
    "a single value": ask("STUDY", **{**ANY, "PatientID": "F-1"}),
    "a single value in another case": ask("STUDY", **{**ANY, "PatientID": "f-1"}),
    "an underscore is no blank": ask("STUDY", **{**ANY, "PatientID": "F_7"}),
    "a blank is no underscore": ask("STUDY", **{**ANY, "PatientID": "F 7"}),
    "an asterisk at the end": ask("STUDY", **{**ANY, "PatientID": "F*"}),
    "an asterisk at the beginning": ask("STUDY", **{**ANY, "PatientID": "*-1"}),
    "a question mark": ask("STUDY", **{**ANY, "PatientID": "F?7"}),
    "a question mark is one character": ask("STUDY", **{**ANY, "PatientID": "?"}),
    "wildcards in small letters": ask("STUDY", **{**ANY, "PatientID": "f*"}),
    "padding": ask("STUDY", **{**ANY, "PatientID": "F-1 "}),
    "nobody": ask("STUDY", **{**ANY, "PatientID": "nobody"}),
    "an accession number in small letters": ask("STUDY", AccessionNumber="acc-x", **ANY),
    "an asterisk for what is empty": among(AccessionNumber="*"),
    "brackets": ask("STUDY", AccessionNumber="X[1]", **ANY),
    "a description": ask("STUDY", StudyDescription="Knee left", **ANY),
    "a description in capitals": ask("STUDY", StudyDescription="*LEFT", **ANY),
    "a percent sign": ask("STUDY", StudyDescription="100%*", **ANY),
    "a stored asterisk": ask("STUDY", StudyDescription="X*Y", **ANY),
    "a code string": ask("PATIENT", PATIENT_FIND, PatientSex="M", PatientID=""),
    "two keys": ask("STUDY", AccessionNumber="A*", PatientName="Doe^J*", **ANY),
    "numbers of a series": ask("SERIES", SeriesNumber=2, SeriesInstanceUID="", **S1),
    "numbers of an instance": ask("IMAGE", InstanceNumber=2, SOPInstanceUID="", **S1_CT),
    "an age": ask("STUDY", PatientAge="074Y", **ANY),
    "a body part": ask("SERIES", BodyPartExamined="BRAIN", SeriesInstanceUID=""),
    # names
    "a name": ask("STUDY", PatientName="Doe^John", **ANY),
    "a name in another case": ask("STUDY", PatientName="dOE^jOHN^q^dr^jr", **ANY),
    "a family name is no name": ask("STUDY", PatientName="Doe", **ANY),
    "a name that ends in anything": ask("STUDY", PatientName="Doe^*", **ANY),
    "a given name": ask("STUDY", PatientName="*^john*", **ANY),
    "a name with a question mark": ask("STUDY", PatientName="Doe^J?hn*", **ANY),
    "a referring physician": ask("STUDY", ReferringPhysicianName="house*", **ANY),
    "an umlaut in UTF-8": ask("STUDY", charset="ISO_IR 192", PatientName="MÜLLER^jürgen", **ANY),
    "an umlaut in Latin-1": ask("STUDY", charset="ISO_IR 100", PatientName="müller*", **ANY),
    "an accent counts": ask("STUDY", PatientName="jerome*", **ANY),
    "Cyrillic in UTF-8": ask("STUDY", charset="ISO_IR 192", PatientName="ИВАНОВ*", **ANY),
    "Cyrillic in ISO-IR 144": ask("STUDY", charset="ISO_IR 144", PatientName="Иванов^*", **ANY),
    "ideograms in UTF-8": ask("STUDY", charset="ISO_IR 192", PatientName="*山田*", **ANY),
    "ideograms in ISO 2022": ask("STUDY", charset=_ISO_2022, PatientName="*山田^太郎*", **ANY),
    "all three groups of a name": ask(
        "STUDY", charset=_ISO_2022, PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", **ANY
    ),
    # dates and times
    "a date": ask("STUDY", StudyDate="20240101", **ANY),
    "a range of dates": ask("STUDY", StudyDate="20240101-20241231", **ANY),
    "a range of one day": ask("STUDY", StudyDate="20240229-20240229", **ANY),
    "from a date on": ask("STUDY", StudyDate="20250101-", **ANY),
    "a range without ends": ask("STUDY", StudyDate="-", **ANY),
    "a range of times": ask("STUDY", StudyTime="1000-1100", **ANY),
    "from a time on": ask("STUDY", StudyTime="235959-", **ANY),
    "a time with its fraction": ask("STUDY", StudyTime="101559.999999", **ANY),
    "a range of dates and one of times": ask("STUDY", StudyDate="20240101-20240229", StudyTime="1015-101530", **ANY),
    "a birth date": ask("PATIENT", PATIENT_FIND, PatientID="", PatientBirthDate="19500131"),
    "a range of birth dates": ask("PATIENT", PATIENT_FIND, PatientID="", PatientBirthDate="19400101-19591231"),
    "a date and time": ask("IMAGE", AcquisitionDateTime="20240101-20240102", SOPInstanceUID=""),
    # lists
    "a list of studies": ask("STUDY", StudyInstanceUID=[study_uid(1), "2.25.404", study_uid(2)]),
    "a list of series": ask("SERIES", SeriesInstanceUID=[series_uid(1, 1), series_uid(2, 1)]),
    "a list of images": ask("IMAGE", SOPInstanceUID=[sop_uid(1, 1, 1), sop_uid(1, 1, 2)]),
    "a list of patients": ask("STUDY", **{**ANY, "PatientID": ["F-1", "F-4"]}),
    "a list has no wildcards": ask("STUDY", **{**ANY, "PatientID": ["F-*", "F-4"]}),
    # computed
    "counts of patients": ask(
        "PATIENT",
        PATIENT_FIND,
        PatientID="",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
    ),
    "counts of studies": ask("STUDY", NumberOfStudyRelatedInstances="", NumberOfStudyRelatedSeries="", **ANY),
    "counts of series": ask("SERIES", NumberOfSeriesRelatedInstances="", SeriesInstanceUID=""),
    "modalities and classes": ask("STUDY", ModalitiesInStudy="", SOPClassesInStudy="", **ANY),
    "one of the modalities": ask("STUDY", ModalitiesInStudy="SR", **ANY),
    "any of two modalities": ask("STUDY", ModalitiesInStudy=["CT", "SR"], **ANY),
    "a modality in small letters": ask("STUDY", ModalitiesInStudy="ct", **ANY),
    "keys of a lower level": ask("STUDY", Modality="MR", **ANY),
    "no time zone": ask("STUDY", TimezoneOffsetFromUTC="", **S1),
}
"""Asked of both, answered alike."""


@pytest.mark.parametrize("question", SAME)
def test_the_proxy_answers_what_orthanc_answers(pair: Pair, question: str) -> None:
    identifier, model = SAME[question]
    assert answers(pair.proxied, identifier, model) == answers(pair.native, identifier, model)


@dataclass(frozen=True)
class Better:
    """What the proxy answers: the studies by number, or a status where it refuses; `where` Orthanc answers else."""

    question: tuple[Dataset, str]
    expected: set[int] | int
    why: str
    where: str = "both"


EVERY = set(range(1, STUDIES + 1))
BETTER: Mapping[str, Better] = {
    "an asterisk for a UID": Better(
        ask("STUDY", StudyInstanceUID="*", PatientName="Doe^J*"),
        {1, 2, 3, 4, 7},
        "a lone * is universal: PS3.4 C.2.2.2.4",
    ),
    "an asterisk for a date": Better(
        among(StudyDate="*"), EVERY, "a lone * is universal, also for what is empty: PS3.4 C.2.2.2.4"
    ),
    "an asterisk for what is absent": Better(
        among(OtherPatientIDs="*"), EVERY, "a lone * is universal: PS3.4 C.2.2.2.4"
    ),
    "a wildcard in a UID": Better(
        ask("STUDY", StudyInstanceUID=f"{PREFIX}.*"), 0xA900, "the status that says whose fault it is: PS3.4 C.4.1.1.4"
    ),
    "a wildcard in a date": Better(
        among(StudyDate="2024*"), 0xA900, "the status that says whose fault it is: PS3.4 C.4.1.1.4"
    ),
    "a level that is none": Better(
        ask("HOUSE", **S1), 0xA900, "the status that says whose fault it is: PS3.4 C.4.1.1.4"
    ),
    "no level": Better(ask(None, **S1), {1}, "its lowest unique key tells the level; plain findscu sends none"),
    "up to a date": Better(
        among(StudyDate="-20240229"), {1, 2}, "a study without a date lies in no range: PS3.4 C.2.2.2.5.1"
    ),
    "up to a time": Better(
        among(StudyTime="-1015"), {1, 2, 3, 6}, "1015 is all of that minute, and no time is none: PS3.4 C.2.2.2.5.2"
    ),
    "an hour": Better(among(StudyTime="10"), {1, 2, 3}, "a time of hours alone is all of that hour: PS3.5 6.2 TM"),
    "a second": Better(among(StudyTime="101559"), {2}, "a time without fractions is all of that second: PS3.5 6.2 TM"),
    "a name with empty components": Better(
        among(PatientName="Doe^John^^^"), {7}, "trailing empty components may be left out: PS3.5 6.2.1.1"
    ),
    "the first group of a name": Better(
        among(PatientName="yamada^tarou"), {6}, "a key of one group fits one group: PS3.5 6.2.1.2"
    ),
    "the second group of a name": Better(
        among(PatientName="=山田^太郎"), {6}, "the groups that are empty in the key are any: PS3.5 6.2.1.2"
    ),
    "ideograms alone": Better(among(PatientName="山田^太郎"), {6}, "a key of one group fits one group: PS3.5 6.2.1.2"),
    "one of several values": Better(
        among(OtherPatientIDs="ALT-2"), {6}, "one value that fits is enough: PS3.4 C.2.2.3"
    ),
    "a number of series": Better(
        among(NumberOfStudyRelatedSeries=2), {1}, "what is returned can be matched: PS3.4 C.3.4", "installed"
    ),
    "a SOP class": Better(
        among(SOPClassesInStudy=MRImageStorage), {2}, "what is returned can be matched: PS3.4 C.3.4", "installed"
    ),
    "a wildcard for modalities": Better(
        among(ModalitiesInStudy="C?"), {1, 4}, "CS takes wildcards: PS3.4 C.2.2.2.4", "newer"
    ),
    "an item of a sequence": Better(
        among(ProcedureCodeSequence=item(CodeValue="T-A0100")), {1}, "keys in a sequence are keys: PS3.4 C.2.2.2.6"
    ),
    "an item that is nowhere": Better(
        among(ProcedureCodeSequence=item(CodeValue="T-D1100")), set(), "keys in a sequence are keys: PS3.4 C.2.2.2.6"
    ),
    "a time zone": Better(
        ask("STUDY", TimezoneOffsetFromUTC="+0100", **S1),
        {1},
        "it says in what zone dates and times are asked, and is no key: PS3.4 C.4.1.1.3.1",
        "installed",
    ),
}


@pytest.mark.parametrize("question", BETTER)
def test_the_proxy_is_more_right_where_orthanc_strays(pair: Pair, question: str) -> None:
    better = BETTER[question]
    identifier, model = better.question
    ours, theirs = pair.proxied.find(identifier, model), pair.native.find(identifier, model)
    assert _outcome(ours) == better.expected, better.why
    strays = better.where in ("both", pair.release)
    assert (_outcome(theirs) != better.expected) is strays, "the table is wrong about Orthanc"


def _outcome(responses: list[Answer]) -> set[int] | int:
    """The numbers of the studies found, or the status of a failure."""
    if responses[-1].status:
        return responses[-1].status
    found = {str(answer.identifier.StudyInstanceUID) for answer in responses[:-1] if answer.identifier is not None}
    return {int(uid.rpartition(".")[2]) if uid.startswith(PREFIX) else -1 for uid in found}


def answers(scu: Scu, identifier: Dataset, model: str) -> Counter[object]:
    """All answers, each as what it says of the keys, and the final status."""
    *pending, final = scu.find(identifier, model)
    assert all(answer.status in (0xFF00, 0xFF01) for answer in pending)
    told = Counter(_told(answer.identifier or Dataset(), identifier) for answer in pending)
    return told + Counter([final.status])


def _told(answer: Dataset, asked: Dataset) -> object:
    tags = {element.tag for element in asked} - {0x00080005}
    return tuple(_text(element) for element in answer if element.tag in tags)


def _text(element: DataElement) -> object:
    if element.VR == "SQ":
        return str(element.tag), tuple(tuple(_text(inner) for inner in dataset) for dataset in element.value)
    value = element.value
    parts = [str(part) for part in value] if isinstance(value, (list, MultiValue)) else [str(value or "").strip(" \0")]
    return str(element.tag), tuple(sorted(parts) if element.keyword in _UNORDERED else parts)


# ---- what is told


def _one(scu: Scu, question: tuple[Dataset, str]) -> Dataset:
    (pending, final) = scu.find(*question)
    assert final.status == 0x0000
    assert pending.identifier is not None
    return pending.identifier


def test_retrieve_ae_title_and_availability_are_told(pair: Pair) -> None:
    """Orthanc answers them empty when they are asked for."""
    told = _one(pair.proxied, ask("STUDY", RetrieveAETitle="", InstanceAvailability="", **S1))
    assert (told.RetrieveAETitle, told.InstanceAvailability) == (pair.proxy.aet, "ONLINE")
    told = _one(pair.proxied, ask("STUDY", **S1))
    assert told.RetrieveAETitle == pair.proxy.aet


def test_of_a_sequence_the_keys_asked_for_are_told_or_all_where_none_are_named(pair: Pair) -> None:
    """Orthanc 1.12.7 tells nothing of a sequence."""
    told = _one(pair.proxied, ask("STUDY", ProcedureCodeSequence=item(CodeValue="", CodeMeaning=""), **S1))
    assert told.ProcedureCodeSequence == item(CodeValue="T-A0100", CodeMeaning="Brain")
    told = _one(pair.proxied, ask("STUDY", ProcedureCodeSequence=[], **S1))
    whole = item(CodeValue="T-A0100", CodingSchemeDesignator="SRT", CodeMeaning="Brain")
    assert told.ProcedureCodeSequence == whole
    nested = ask("SERIES", RequestAttributesSequence=item(ScheduledProcedureStepID="SPS-*", RequestedProcedureID=""))
    told = _one(pair.proxied, nested)
    assert told.RequestAttributesSequence == item(ScheduledProcedureStepID="SPS-1", RequestedProcedureID="RP-1")


def test_a_private_element_is_told_and_its_creator_is_no_filter(pair: Pair) -> None:
    assert _one(pair.proxied, private())[0x0009, 0x1001].value == "secret"
    identifier, model = private()
    identifier.StudyInstanceUID = study_uid(1)
    told = _one(pair.proxied, (identifier, model))
    assert not told[0x0009, 0x1001].value


def test_counts_are_told_at_their_own_level_alone(pair: Pair) -> None:
    question = ask("SERIES", NumberOfStudyRelatedInstances="", NumberOfSeriesRelatedInstances="", **S1_CT)
    told = _one(pair.proxied, question)
    assert (told.NumberOfStudyRelatedInstances, told.NumberOfSeriesRelatedInstances) == (None, 2)


# ---- character sets


@pytest.mark.parametrize(
    ("study", "asked", "answered"),
    [
        (5, "ISO_IR 100", "ISO_IR 100"),
        (5, "ISO_IR 192", "ISO_IR 192"),
        (5, ["", "ISO 2022 IR 100"], ["", "ISO 2022 IR 100"]),
        (5, "ISO_IR 144", "ISO_IR 192"),
        (6, _ISO_2022, _ISO_2022),
        (6, "ISO_IR 100", "ISO_IR 192"),
        (8, "ISO_IR 144", "ISO_IR 144"),
        (8, _ISO_2022, _ISO_2022),
        (5, _ISO_2022, "ISO_IR 192"),
    ],
)
def test_answers_come_in_the_requestors_repertoire_or_in_utf_8(
    pair: Pair, study: int, asked: str | list[str], answered: str | list[str]
) -> None:
    stored = next(image for image in find_population() if image.StudyInstanceUID == study_uid(study))
    question = ask("STUDY", charset=asked, StudyInstanceUID=study_uid(study), PatientName="", StudyDescription="")
    told = _one(pair.proxied, question)
    assert told.SpecificCharacterSet == answered
    told.decode()
    assert (str(told.PatientName), told.StudyDescription) == (str(stored.PatientName), stored.StudyDescription)


def test_an_identifier_that_names_no_repertoire_is_in_orthancs_default(orthanc: Orthanc, proxy: Proxy) -> None:
    """Latin-1 here. Orthanc itself answers "山田" as "", and names a repertoire it dropped characters for."""
    with associated(proxy.dicom_port, proxy.aet, images=()) as scu:
        question = keys("STUDY", PatientID="", PatientName="")
        question[0x00100010].value = "Äneas*".encode("latin-1")
        told = _one(scu, (question, STUDY_FIND))
        assert (told.SpecificCharacterSet, told.PatientID) == ("ISO_IR 100", "DE-1")
        told = _one(scu, (keys("STUDY", PatientID="JP-1", PatientName=""), STUDY_FIND))
        told.decode()
        assert (told.SpecificCharacterSet, told.PatientName.ideographic) == ("ISO_IR 192", "山田^太郎")


# ---- limits and cancel


def test_a_limit_ends_with_a_status_that_says_so(
    one_orthanc: Orthanc, proxies: ProxyPool, aim: Callable[..., Dcmtk]
) -> None:
    limited = proxies.get(one_orthanc, {"limits": {"results": 3}})
    outcome = aim(limited).find("0008,0052=STUDY", "0020,000D=", "0010,0020=")
    assert [response.status for response in outcome.responses] == [0xFF00] * 3 + [0xA700]
    assert outcome.final.error_comment == "more than 3 matches, the rest is not told"
    assert len(aim(limited).find("0008,0052=STUDY", "0020,000D=", "0010,0020=CT-1").datasets) == 1


def test_cancel_ends_the_answers(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    scu = pair.proxied
    send = scu.association.dimse.send_msg

    def send_and_cancel(message: object, context_id: int) -> None:
        send(message, context_id)  # type: ignore[arg-type]
        if isinstance(message, C_FIND):
            scu.association.send_c_cancel(77, query_model=STUDY_FIND)

    monkeypatch.setattr(scu.association.dimse, "send_msg", send_and_cancel)
    for _ in range(20):  # on a busy machine the cancel may come when all is said
        *pending, final = scu.find(keys("SERIES", SeriesInstanceUID=""), message_id=77)
        assert {answer.status for answer in pending} <= {0xFF00}
        if final.status == 0xFE00:
            break
    assert final.status == 0xFE00
    assert scu.echo() == 0x0000


# ---- extended negotiation


def test_relational_queries_are_negotiated_and_nothing_that_is_not_there(proxy: Proxy) -> None:
    """PS3.7 D.3.3.5: what is asked for and not answered would have to be taken for refused."""
    ae = AE("RELATIONAL")
    for model in (STUDY_FIND, PATIENT_GET):
        ae.add_requested_context(model)
    items = []
    for model, information in ((STUDY_FIND, b"\x01\x01\x01\x01"), (PATIENT_GET, b"\x01"), (STUDY_MOVE, b"\x01")):
        asked = SOPClassExtendedNegotiation()
        asked.sop_class_uid, asked.service_class_application_information = model, information
        items.append(asked)
    association = ae.associate("127.0.0.1", proxy.dicom_port, ae_title=proxy.aet, ext_neg=items)
    assert association.is_established
    answered = association.acceptor.sop_class_extended
    association.release()
    assert answered == {STUDY_FIND: b"\x01\x00\x00\x00", PATIENT_GET: b"\x01"}


# ---- DCMTK's findscu


FINDSCU = {
    "patients": ("-P", ["0008,0052=PATIENT", "0010,0020=F*", "0010,0010="]),
    "studies": ("-S", ["0008,0052=STUDY", "0020,000D=", "0010,0010=doe*", "0008,0020=20240101-20241231"]),
    "series": ("-S", ["0008,0052=SERIES", f"0020,000D={study_uid(1)}", "0020,000E=", "0008,0060=", "0020,1209="]),
    "images": (
        "-P",
        [
            "0008,0052=IMAGE",
            "0010,0020=F-1",
            f"0020,000D={study_uid(1)}",
            f"0020,000E={series_uid(1, 1)}",
            "0008,0018=",
        ],
    ),
    "a list": ("-S", ["0008,0052=STUDY", f"0020,000D={study_uid(1)}\\{study_uid(2)}", "0008,0061="]),
    "nobody": ("-S", ["0008,0052=STUDY", "0010,0020=nobody"]),
}


@pytest.mark.parametrize("question", FINDSCU)
def test_findscu_is_answered_as_by_orthanc(pair: Pair, aim: Callable[..., Dcmtk], question: str) -> None:
    model, asked = FINDSCU[question]
    ours, theirs = aim(pair.proxy).find(*asked, model=model), aim(pair.orthanc).find(*asked, model=model)
    assert _found(ours, asked) == _found(theirs, asked)
    assert (ours.returncode, ours.final.status) == (theirs.returncode, theirs.final.status) == (0, 0x0000)


def _found(outcome: Outcome, asked: list[str]) -> Counter[object]:
    tags = {int(key[:4] + key[5:9], 16) for key in asked}
    return Counter(tuple(_text(element) for element in dataset if element.tag in tags) for dataset in outcome.datasets)
