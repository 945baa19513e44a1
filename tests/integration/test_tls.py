"""TLS on the listener, towards destinations and towards Orthanc: with DCMTK's +tls tools, openssl's and Python's."""

import datetime
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from proxy.demo.orthanc import Orthanc
from tests.support import raw
from tests.support.dcmtk import Dcmtk
from tests.support.destinations import StoreScp
from tests.support.instances import series
from tests.support.orthanc_releases import Release, make_orthanc
from tests.support.population import CT
from tests.support.proxy_process import Proxy
from tests.support.rest import upload
from tests.support.scu import associated, keys
from tests.support.tls_front import TlsFront
from tests.support.waiting import wait_until

_STUDY = keys("STUDY", StudyInstanceUID=CT.study_instance_uid)
_PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Papers:
    """Certificates in files: of an authority that is trusted, and of one that nobody knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.authority, self.unknown = trustme.CA(), trustme.CA()
        self.ca = self._write("ca.pem", self.authority.cert_pem.bytes())
        self.other_ca = self._write("other-ca.pem", self.unknown.cert_pem.bytes())
        self.server = self.issue("server", "localhost", "127.0.0.1")
        self.client = self.issue("client", "client.test", common_name="CT SCANNER 1")
        self.stranger = self.issue("stranger", "client.test", authority=self.unknown)
        self.expired = self.issue("expired", "localhost", "127.0.0.1", not_after=_PAST)

    def issue(
        self,
        name: str,
        *identities: str,
        authority: trustme.CA | None = None,
        common_name: str | None = None,
        not_after: datetime.datetime | None = None,
    ) -> tuple[Path, Path]:
        """A certificate (also with its key behind it as NAME-both.pem) and its key, as files."""
        issued = (authority or self.authority).issue_cert(
            *identities,
            common_name=common_name,
            not_before=_PAST - datetime.timedelta(days=9) if not_after else None,
            not_after=not_after,
            key_type=trustme.KeyType.RSA,
        )
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        self._write(f"{name}-both.pem", chain + issued.private_key_pem.bytes())
        return self._write(f"{name}.pem", chain), self._write(f"{name}.key", issued.private_key_pem.bytes())

    def both(self, name: str) -> Path:
        """Certificate and key in one file."""
        return self.folder / f"{name}-both.pem"

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("tls") / "papers")


def _listener(papers: Papers, *, wire: str = "fast", **tls: object) -> dict[str, object]:
    certificate, key = papers.server
    settings = {"certificate": str(certificate), "private_key": str(key), "ca": str(papers.ca), **tls}
    return {"listener": {"wire": wire, "tls": settings}}


def _dcmtk(proxy: Proxy, folder: Path, papers: Papers, who: tuple[Path, Path] | None, **options: object) -> Dcmtk:
    """DCMTK's tools over TLS, with or without a certificate of their own."""
    mine = ["+tls", str(who[1]), str(who[0])] if who is not None else ["+tla"]
    ca = ["+cf", str(options.pop("ca", papers.ca))]
    port = proxy.tls_port or proxy.dicom_port
    return Dcmtk(port, proxy.aet, folder, options=(*mine, *ca), **options)  # type: ignore[arg-type]


def _handshake(proxy: Proxy, context: ssl.SSLContext) -> None:
    """Associate and C-ECHO over TLS. Raises OSError or Ended."""
    peer = raw.Peer.connect(proxy.tls_port or proxy.dicom_port)
    try:
        peer.connection = context.wrap_socket(peer.connection, server_hostname="localhost")
        peer.associate(proxy.aet)
        assert peer.echo() == 0
    finally:
        peer.close()


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_dcmtk_works_over_tls_with_a_certificate_and_nobody_without(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], papers: Papers, tmp_path: Path
) -> None:
    proxy = start_proxy(one_orthanc, _listener(papers, wire=wire))
    tools = _dcmtk(proxy, tmp_path, papers, papers.client)
    assert tools.echo().final.status == 0x0000
    assert len(tools.find("0008,0052=STUDY", "0010,0020=").datasets) > 0
    for nobody in (None, papers.stranger, papers.expired):
        assert _dcmtk(proxy, tmp_path, papers, nobody).echo().returncode != 0, f"{nobody} was let in"
    assert Dcmtk(proxy.tls_port or 0, proxy.aet, tmp_path).echo().returncode != 0, "plain DICOM was let in"
    assert _dcmtk(proxy, tmp_path, papers, papers.client, ca=papers.other_ca).echo().returncode != 0
    assert tools.echo().final.status == 0x0000


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_tls_has_a_port_of_its_own_beside_the_plain_one(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], papers: Papers, tmp_path: Path
) -> None:
    proxy = start_proxy(one_orthanc, _listener(papers, wire=wire, bind_port=0, client_certificate="none"))
    assert proxy.tls_port != proxy.dicom_port
    assert _dcmtk(proxy, tmp_path, papers, None).echo().final.status == 0x0000
    assert Dcmtk(proxy.dicom_port, proxy.aet, tmp_path).echo().final.status == 0x0000


def test_old_versions_and_weak_ciphers_are_refused(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], papers: Papers
) -> None:
    proxy = start_proxy(one_orthanc, _listener(papers, client_certificate="none"))

    def context(minimum: ssl.TLSVersion, maximum: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=papers.ca)
        made.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
        made.minimum_version, made.maximum_version = minimum, maximum
        return made

    v1_1, v1_2, v1_3 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    _handshake(proxy, context(v1_2, v1_2))
    _handshake(proxy, context(v1_3, v1_3))
    with pytest.raises(OSError):
        _handshake(proxy, context(v1_1, v1_1))
    with pytest.raises(OSError):
        _handshake(proxy, context(v1_2, v1_2, "AES256-SHA256:AES128-SHA"))


def test_silent_handshakes_hold_up_nobody(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], papers: Papers
) -> None:
    proxy = start_proxy(one_orthanc, _listener(papers, client_certificate="none"))
    silent = [raw.Peer.connect(proxy.tls_port or 0) for _ in range(30)]
    for peer in silent[::2]:
        peer.send(b"\x16\x03\x01\x02\x00\x01")
    began = time.monotonic()
    _handshake(proxy, ssl.create_default_context(cafile=papers.ca))
    assert time.monotonic() - began < 2
    for peer in silent:
        peer.close()


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_a_title_pinned_to_a_certificate_is_for_its_holder_alone(
    wire: str, one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], papers: Papers, tmp_path: Path
) -> None:
    other = papers.issue("other", "client.test", common_name="SOMEBODY ELSE")
    pins = {"CT1": ["CT SCANNER 1"], "CT2": [_fingerprint(other[0])]}
    proxy = start_proxy(one_orthanc, _listener(papers, wire=wire, pins=pins))

    def status(who: tuple[Path, Path], title: str) -> int:
        return _dcmtk(proxy, tmp_path, papers, who, calling_aet=title).echo().returncode

    assert status(papers.client, "CT1") == 0
    assert status(other, "CT1") != 0
    assert status(other, "CT2") == 0
    assert status(papers.client, "CT2") != 0
    assert status(other, "UNPINNED") == 0
    wait_until(lambda: "pins 'CT1' to another certificate" in proxy.log)


def _fingerprint(certificate: Path) -> str:
    import hashlib

    first = certificate.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()


def test_renewed_certificates_are_used_after_a_reload_and_a_broken_file_changes_nothing(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    papers = Papers(tmp_path / "papers")
    proxy = start_proxy(one_orthanc, _listener(papers, client_certificate="none"))
    new = trustme.CA()
    trusting_old, trusting_new = (ssl.create_default_context() for _ in range(2))
    papers.authority.configure_trust(trusting_old)
    new.configure_trust(trusting_new)
    _handshake(proxy, trusting_old)

    certificate, key = papers.server
    good = certificate.read_bytes(), key.read_bytes()
    certificate.write_text("not a certificate")
    proxy.child.signal(1)
    deadline = time.monotonic() + 10
    while str(certificate) not in proxy.log:
        assert time.monotonic() < deadline, "nobody is told of the broken file"
        time.sleep(0.05)
    _handshake(proxy, trusting_old)
    certificate.write_bytes(good[0])

    issued = new.issue_cert("localhost")
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    proxy.child.signal(1)
    deadline = time.monotonic() + 10
    while True:
        try:
            _handshake(proxy, trusting_new)
            break
        except OSError:
            assert time.monotonic() < deadline, proxy.log
            time.sleep(0.1)
    with pytest.raises(OSError):
        _handshake(proxy, trusting_old)


# ---- towards destinations


def _move_over_tls(
    wire: str,
    orthanc: Orthanc,
    start_proxy: Callable[..., Proxy],
    destination: dict[str, object],
) -> int:
    configured = {"aet": "DEST_AET", "host": "localhost", "tls": True, **destination}
    quick = {"limits": {"connect_timeout": 3}}
    proxy = start_proxy(orthanc, {"destinations": {"D": configured}, "listener": {"wire": wire}}, quick)
    with associated(proxy.dicom_port, proxy.aet) as scu:
        return scu.move(_STUDY, "DEST_AET")[-1].status


@pytest.mark.parametrize("wire", ["fast", "stock"])
def test_instances_go_to_a_destination_over_tls_with_our_certificate(
    wire: str,
    one_orthanc: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_storescp: Callable[..., StoreScp],
    papers: Papers,
) -> None:
    certificate, key = papers.server
    receiver = start_storescp("DEST_AET", "+tls", str(key), str(certificate), "+cf", str(papers.ca), "-rc")
    ours = {"ca": str(papers.ca), "certificate": str(papers.client[0]), "private_key": str(papers.client[1])}
    assert _move_over_tls(wire, one_orthanc, start_proxy, {"port": receiver.port, **ours}) == 0x0000
    assert len(receiver.files) == CT.slices


@pytest.mark.parametrize("wrong", ["unknown authority", "expired", "another host", "without our certificate", "plain"])
def test_a_destination_that_cannot_be_trusted_gets_nothing(
    wrong: str,
    one_orthanc: Orthanc,
    start_proxy: Callable[..., Proxy],
    start_storescp: Callable[..., StoreScp],
    papers: Papers,
) -> None:
    elsewhere = papers.issue("elsewhere", "elsewhere.test")
    certificate, key = {"expired": papers.expired, "another host": elsewhere}.get(wrong, papers.server)
    tls = [] if wrong == "plain" else ["+tls", str(key), str(certificate), "+cf", str(papers.ca)]
    receiver = start_storescp("DEST_AET", *tls, *([] if wrong in ("plain", "without our certificate") else ["-ic"]))
    ca = papers.other_ca if wrong == "unknown authority" else papers.ca
    assert _move_over_tls("fast", one_orthanc, start_proxy, {"port": receiver.port, "ca": str(ca)}) == 0xA702
    assert not receiver.files


# ---- towards Orthanc


@pytest.fixture(scope="module")
def secure_orthanc(
    one_release: Release, papers: Papers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Dataset]]:
    """An Orthanc behind https that asks for a client certificate; its URL and an instance of it."""
    orthanc = make_orthanc(one_release, tmp_path_factory.mktemp("orthanc"))
    try:
        orthanc.start()
        image = next(iter(series(1, PatientID="SECURE")))
        upload(orthanc, image)
        with TlsFront(orthanc.http_port, papers.server, papers.ca) as front:
            yield f"https://localhost:{front.port}", image
    finally:
        orthanc.kill()


def _backend(papers: Papers, ca: Path, client: str | None) -> dict[str, object]:
    own = {"client_certificate": str(papers.both(client))} if client else {}
    return {"backends": {"orthanc": {"verify": str(ca), "retries": 1, "connect_timeout": 2, **own}}}


def test_orthanc_behind_https_is_asked_with_our_certificate(
    secure_orthanc: tuple[str, Dataset], start_proxy: Callable[..., Proxy], papers: Papers
) -> None:
    url, image = secure_orthanc
    proxy = start_proxy(url, _backend(papers, papers.ca, "client"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert [answer.status for answer in scu.find(keys("STUDY", PatientID="SECURE"))] == [0xFF00, 0x0000]
        study = keys("STUDY", StudyInstanceUID=image.StudyInstanceUID)
        assert scu.get(study)[-1].status == 0x0000
        assert len(scu.received) == 1


@pytest.mark.parametrize(
    "wrong",
    ["unknown authority", "without our certificate", "a certificate that is unknown there"],
)
def test_an_orthanc_that_does_not_trust_us_or_is_not_trusted_is_out_of_reach(
    wrong: str, secure_orthanc: tuple[str, Dataset], start_proxy: Callable[..., Proxy], papers: Papers
) -> None:
    url, _ = secure_orthanc
    ca = papers.other_ca if wrong == "unknown authority" else papers.ca
    client = {"without our certificate": None, "a certificate that is unknown there": "stranger"}.get(wrong, "client")
    proxy = start_proxy(url, _backend(papers, ca, client))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        final = scu.find(keys("STUDY", PatientID="SECURE"))[-1]
        assert final.status == 0xA700
        assert final.comment
        assert scu.echo() == 0x0000
    if wrong == "unknown authority":
        assert "not trusted" in proxy.log


def test_an_orthanc_with_another_name_than_its_certificate_is_not_trusted(
    secure_orthanc: tuple[str, Dataset], start_proxy: Callable[..., Proxy], papers: Papers
) -> None:
    url = secure_orthanc[0].replace("localhost", "127.0.0.2")
    proxy = start_proxy(url, _backend(papers, papers.ca, "client"))
    with associated(proxy.dicom_port, proxy.aet) as scu:
        assert scu.find(keys("STUDY", PatientID="SECURE"))[-1].status == 0xA700


def test_an_scu_of_pynetdicom_works_over_tls(
    one_orthanc: Orthanc, start_proxy: Callable[..., Proxy], papers: Papers
) -> None:
    proxy = start_proxy(one_orthanc, _listener(papers))
    context = ssl.create_default_context(cafile=papers.ca)
    context.load_cert_chain(*papers.client)
    ae = AE("TLSSCU")
    ae.add_requested_context(Verification)
    association = ae.associate(
        "127.0.0.1", int(proxy.tls_port or proxy.dicom_port), ae_title=proxy.aet, tls_args=(context, "localhost")
    )
    assert association.is_established
    assert association.send_c_echo().Status == 0x0000  # type: ignore[union-attr]
    association.release()
