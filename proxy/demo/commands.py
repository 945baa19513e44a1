"""Command lines to paste while the demo runs."""

from proxy.demo.orthanc import Orthanc
from proxy.demo.samples import SyntheticSeries
from proxy.echo import Address


def command_lines(target: Address, destination: Address, orthanc: Orthanc, series: SyntheticSeries) -> str:
    """The six commands of the original example, and Orthanc as the client."""
    node = f"-aec {target.aet}"
    place = f"{target.host} {target.port}"
    study = f"-k 0008,0052=STUDY -k 0020,000D={series.study_instance_uid}"
    body = '{"Level": "Study", "Query": {"PatientID": "' + series.patient_id + '"}}'
    return f"""
Try it with DCMTK (TCP_NODELAY=1 switches off a wait of 40 ms per message inside DCMTK's tools):

echoscu -v {node} {place}
findscu -P {node} -k 0008,0052=PATIENT -k 0010,0020="*" -k 0010,0010 {place}
findscu -P {node} -k 0008,0052=PATIENT -k 0010,0020="{series.patient_id}" -k 0010,0010 {place}
findscu -S {node} -k 0008,0052=STUDY -k 0020,000D="*" -k 0008,1030 {place}
mkdir -p /tmp/got && TCP_NODELAY=1 getscu -S {node} {study} -od /tmp/got {place}
movescu -v -S {node} -aem {destination.aet} {study} {place}

... and with Orthanc as the client ({destination.aet} listens on port {destination.port}):

curl -X POST {orthanc.url}/modalities/harmony/query -d '{body}'
curl '{orthanc.url}/queries/ID/answers?expand&simplify'
curl -X POST {orthanc.url}/queries/ID/answers/0/retrieve -d {destination.aet}
"""
