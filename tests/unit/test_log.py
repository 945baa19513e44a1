import io
import json
import logging
import threading

import pytest
import structlog

from proxy import events, log
from proxy.config.process import LoggingSettings
from proxy.errors import SpoolFull

ENDED = events.OperationEnded(
    at=1.0,
    association_id="a1",
    label="WS1->HARMONY_SCP(17)",
    calling_aet="WS1",
    pipeline="dicom_scp",
    command="C-FIND",
    message_id=3,
    status=0,
    level="STUDY",
    duration=0.0412,
    matches=12,
)


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was():
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    root.handlers = []
    yield
    threading.excepthook = hook
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(level="info", form="json", emit=(), repeat_after=10.0):
    stream = io.StringIO()
    log.configure(LoggingSettings(format=form), level, stream)
    subscriber = log.LogSubscriber(repeat_after)
    for event in emit:
        subscriber(event)
    text = stream.getvalue().splitlines()
    return [json.loads(line) for line in text] if form == "json" else text


def association(aet="WS1", how="released", why=""):
    names = {"association_id": "a1", "label": f"{aet}->HARMONY_SCP(17)", "calling_aet": aet}
    names |= {"called_aet": "HARMONY_SCP", "pipeline": "dicom_scp"}
    return [
        events.AssociationOpened(
            **names,
            address="192.0.2.7",
            port=40001,
            implementation_version="OFFIS_DCMTK_367",
            tls=True,
            certificate_name="ws1.example",
        ),
        events.AssociationEnded(**names, how=how, why=why, duration=1.25, operations=3),
    ]


def refused(at, why="calling AE WS7 not allowed by pipeline dicom_scp"):
    return events.AssociationRefused(
        at=at, calling_aet="WS7", called_aet="X", address="192.0.2.9", result=1, source=1, reason=3, why=why
    )


def test_an_operation_is_one_line_with_the_fields_that_administrators_search_for():
    [line] = lines(emit=[ENDED])
    assert line["level"] == "info"
    assert line["event"] == "C-FIND STUDY from WS1: 12 matches, 0x0000 Success, 41.2 ms"
    expected = {"assoc": "WS1->HARMONY_SCP(17)", "assoc_id": "a1", "service": "C-FIND", "status": "0x0000 Success"}
    assert expected.items() <= line.items()
    assert line["ts"].endswith("Z")


def test_an_association_is_one_line_at_its_end_and_knows_what_was_said_at_its_start():
    [line] = lines(emit=association())
    assert line["event"] == "association released: WS1->HARMONY_SCP(17), 3 operations"
    expected = {"peer_ip": "192.0.2.7", "impl_version": "OFFIS_DCMTK_367", "tls": True, "duration_ms": 1250.0}
    expected |= {"peer_port": 40001, "tls_cn": "ws1.example"}
    assert expected.items() <= line.items()


def test_a_lost_association_is_a_warning_that_says_why():
    [line] = lines(emit=association(how="timeout", why="no message for 60 s"))
    assert line["level"] == "warning"
    assert "no message for 60 s" in line["event"]


@pytest.mark.parametrize(("status", "level"), [(0, "info"), (0xFE00, "info"), (0xB000, "info"), (0xA701, "warning")])
def test_failures_are_warnings(status, level):
    [line] = lines(emit=[events.OperationEnded(**{**_fields(ENDED), "status": status})])
    assert line["level"] == level


def test_a_retrieve_with_failed_sub_operations_is_a_warning_with_counts():
    fields = _fields(ENDED) | {"command": "C-MOVE", "status": 0xB000, "completed": 8, "failed": 2, "destination": "WS2"}
    [line] = lines(emit=[events.OperationEnded(**fields)])
    assert line["level"] == "warning"
    assert line["event"].startswith("C-MOVE STUDY from WS1 to WS2: 8 of 10 sent, 0xB000 Some sub-operations failed")
    assert (line["n_ok"], line["n_fail"]) == (8, 2)


def test_a_c_store_names_its_sop_class():
    fields = _fields(ENDED) | {"command": "C-STORE", "level": "", "sop_class": "1.2.840.10008.5.1.4.1.1.2"}
    [line] = lines(emit=[events.OperationEnded(**fields)])
    assert line["sop_class"] == "1.2.840.10008.5.1.4.1.1.2"


def test_an_operation_without_an_answer_says_so():
    [line] = lines(emit=[events.OperationEnded(**{**_fields(ENDED), "status": -1})])
    assert "Association ended before the answer" in line["event"]


def test_a_refusal_names_reason_and_rejection():
    [line] = lines(emit=[refused(1.0)])
    assert line["event"] == "association refused: calling AE WS7 not allowed by pipeline dicom_scp"
    assert line["reject"] == "1,1,3 calling AE title not recognized"


def test_the_same_refusal_again_and_again_is_told_once_and_counted():
    told = lines(emit=[refused(0.0), refused(1.0), refused(2.0), refused(11.0), refused(11.5, "other")])
    assert [line.get("repeated") for line in told] == [None, 2, None]


def test_the_health_check_of_a_container_is_not_in_the_log():
    echo = events.OperationEnded(**{**_fields(ENDED), "command": "C-ECHO", "calling_aet": log.HEALTHCHECK_AET})
    assert lines(emit=[*association(log.HEALTHCHECK_AET), echo]) == []
    assert len(lines("debug", emit=[*association(log.HEALTHCHECK_AET), echo])) == 3


def test_a_dead_letter_is_one_error_and_a_delivery_is_not_worth_a_line():
    told = lines(
        emit=[
            events.Forwarded(pipeline="p", target="orthanc", outcome="delivered"),
            events.Forwarded(pipeline="p", target="orthanc", outcome="retry", why="connection refused"),
            events.Forwarded(pipeline="p", target="orthanc", outcome="dead", why="400 Bad file format"),
            events.Trouble(where="spool", what="an instance is a dead letter: 400 Bad file format", severity="error"),
        ]
    )
    assert [line["level"] for line in told] == ["warning", "error"]
    assert "400 Bad file format" in told[1]["event"]


def test_troubles_keep_their_severity_and_rest_calls_are_debug():
    told = lines(
        emit=[
            events.Trouble(where="cache", what="no space left on device"),
            events.Trouble(where="orthanc", what="away", severity="error"),
            events.OrthancCalled(backend="o", method="GET", endpoint="/system", status=200, duration=0.1),
        ]
    )
    assert [(line["level"], line["event"]) for line in told] == [
        ("warning", "no space left on device"),
        ("error", "away"),
    ]


def test_text_lines_cannot_be_forged_by_an_ae_title():
    evil = events.OperationEnded(**{**_fields(ENDED), "calling_aet": "A\n2026 error x", "label": 'B" c=d\x1b[2J'})
    told = lines(form="text", emit=[evil])
    assert len(told) == 1
    assert "\x1b" not in told[0]
    assert "A\\n2026" in told[0]


def test_text_lines_begin_with_time_level_and_sentence():
    [line] = lines(form="text", emit=[ENDED])
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest.startswith("info    C-FIND STUDY from WS1: 12 matches, 0x0000 Success, 41.2 ms  assoc=WS1->HARM")


def test_loggers_of_libraries_use_the_same_form_and_those_that_quote_data_sets_are_silent():
    stream = io.StringIO()
    log.configure(LoggingSettings(format="json"), "info", stream)
    logging.getLogger("elsewhere").warning("said %s", "this")
    logging.getLogger("pynetdicom.acse").error("PatientName: DOE^JANE")
    logging.getLogger("pydicom").warning("Invalid value for VR DA: '19700101x'")
    logging.getLogger("httpx").info("GET http://orthanc/instances/x")
    [line] = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line["event"] == "said this"
    assert line["logger"] == "elsewhere"


def test_warnings_of_libraries_do_not_reach_the_log(recwarn):
    import warnings

    stream = io.StringIO()
    log.configure(LoggingSettings(), "info", stream)
    with warnings.catch_warnings():
        logging.captureWarnings(True)
        warnings.simplefilter("always")
        warnings.warn("Invalid value for VR PN: 'DOE^JANE'", UserWarning, stacklevel=1)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_is_written_once(form):
    stream = io.StringIO()
    log.configure(LoggingSettings(format=form), "info", stream)
    try:
        raise ValueError("the cause")
    except ValueError:
        structlog.stdlib.get_logger("proxy").exception("a bug", bug_id="b-1")
    assert stream.getvalue().count("in test_a_traceback_is_written_once") == 1
    assert stream.getvalue().count("ValueError") == 2  # its kind, and the line of code that raised it
    assert "b-1" in stream.getvalue()


def test_the_level_can_be_changed_while_running():
    stream = io.StringIO()
    log.configure(LoggingSettings(), "info", stream)
    logger = structlog.stdlib.get_logger("proxy")
    logger.debug("one")
    log.set_level("debug")
    logger.debug("two")
    log.set_level("error")
    logger.warning("three")
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["two"]


def test_a_log_file_that_was_renamed_away_is_opened_anew(tmp_path):
    file = tmp_path / "deep" / "proxy.log"
    log.configure(LoggingSettings(log_to_file=True, log_file_path=file), "info", io.StringIO())
    logging.getLogger("x").warning("before")
    file.rename(tmp_path / "proxy.log.1")
    logging.getLogger("x").warning("after")
    assert "before" in (tmp_path / "proxy.log.1").read_text()
    assert "after" in file.read_text()
    assert "before" not in file.read_text()


def test_configuring_twice_does_not_double_the_lines():
    first, second = io.StringIO(), io.StringIO()
    log.configure(LoggingSettings(), "info", first)
    log.configure(LoggingSettings(format="json"), "info", second)
    log.LogSubscriber()(ENDED)
    assert first.getvalue() == ""
    assert second.getvalue().count("C-FIND STUDY") == 1


def _fields(event):
    return {name: getattr(event, name) for name in type(event).__slots__ if name != "at"} | {"at": event.at}


PATIENT = "DOE^JANE"


def raise_what_quotes_a_patient():
    try:
        raise OSError(28, "No space left on device", f"/spool/{PATIENT}")
    except OSError as error:
        raise ValueError(f"cannot read PatientName {PATIENT}") from error


def logged_exception(form, level, act):
    stream = io.StringIO()
    log.configure(LoggingSettings(format=form), level, stream)
    try:
        raise_what_quotes_a_patient()
    except ValueError as error:
        act(error)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "act",
    [
        lambda error: logging.getLogger("proxy.x").exception("it failed"),
        lambda error: structlog.stdlib.get_logger("proxy.x").exception("it failed"),
        lambda error: structlog.stdlib.get_logger("proxy.x").error("it failed", exc_info=error),
    ],
)
def test_an_exception_is_told_with_its_kind_and_place_but_not_its_words(form, act):
    told = logged_exception(form, "info", act)
    assert "it failed" in told
    assert "in raise_what_quotes_a_patient" in told
    assert "ValueError" in told
    assert "OSError: No space left on device" in told
    assert PATIENT not in told


def test_at_debug_an_exception_may_say_all():
    told = logged_exception("text", "debug", lambda error: logging.getLogger("x").debug("it failed", exc_info=error))
    assert "ValueError: cannot read PatientName DOE^JANE" in told


def test_the_comment_of_an_error_of_ours_is_told():
    stream = io.StringIO()
    log.configure(LoggingSettings(), "info", stream)
    logging.getLogger("proxy").error("it failed", exc_info=SpoolFull("the spool is full"))
    assert "SpoolFull: the spool is full" in stream.getvalue()


def test_a_thread_that_dies_is_a_line_of_the_log(capsys):
    stream = io.StringIO()
    log.configure(LoggingSettings(format="json"), "info", stream)
    thread = threading.Thread(target=raise_what_quotes_a_patient, name="worker-7")
    thread.start()
    thread.join()
    [line] = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line["event"] == "thread worker-7 has ended by an error of ours"
    assert PATIENT not in str(line)
    assert PATIENT not in capsys.readouterr().err
