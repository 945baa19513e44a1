"""The command lines that the demo prints."""

import json
import shlex
from pathlib import Path

from proxy.demo.commands import command_lines
from proxy.demo.orthanc import Orthanc
from proxy.demo.samples import SyntheticSeries
from proxy.echo import Address


def test_each_line_is_a_command_that_a_shell_understands(tmp_path: Path) -> None:
    series = SyntheticSeries()
    orthanc = Orthanc(tmp_path)
    orthanc.http_port = 8043
    text = command_lines(
        Address("HARMONY_SCP", "127.0.0.1", 11119), Address("DEST_AET", "127.0.0.1", 2), orthanc, series
    )
    commands = [shlex.split(line) for line in text.splitlines() if "127.0.0.1" in line]
    assert [command[0] for command in commands] == [
        *("echoscu", "findscu", "findscu", "findscu", "mkdir", "movescu"),
        *("curl", "curl", "curl"),
    ]
    for command in commands[:6]:
        assert command[-2:] == ["127.0.0.1", "11119"]
        assert command[command.index("-aec") + 1] == "HARMONY_SCP"
    assert commands[5][commands[5].index("-aem") + 1] == "DEST_AET"
    assert f"0020,000D={series.study_instance_uid}" in commands[4]
    assert json.loads(commands[6][-1])["Query"] == {"PatientID": series.patient_id}
