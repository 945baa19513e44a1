"""TLS contexts keep to the profile, are renewed in place, and say which file is at fault."""

import hashlib
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from proxy.config import Destination, TlsSettings
from proxy.errors import ConfigError
from proxy.tls import destination_context, listener_context, peer_certificate, refresh


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    """`certificate`, `private_key` and `ca` as PEM files."""
    paths = {name: tmp_path / f"{name}.pem" for name in ("certificate", "private_key", "ca")}
    _issue(authority, paths)
    authority.cert_pem.write_to_path(paths["ca"])
    return paths


def _issue(authority: trustme.CA, paths: dict[str, Path], name: str = "localhost") -> None:
    issued = authority.issue_cert(name, common_name=name)
    issued.private_key_pem.write_to_path(paths["private_key"])
    paths["certificate"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))


def _client(authority: trustme.CA, certificate: str = "") -> ssl.SSLContext:
    client = ssl.create_default_context()
    authority.configure_trust(client)
    if certificate:
        authority.issue_cert(certificate, common_name=certificate).configure_cert(client)
    return client


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """The server's and the client's end. Raises what the client's handshake, or its first read, raises."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)
    served: list[ssl.SSLSocket] = []

    def serve() -> None:
        try:
            served.append(server.wrap_socket(ours, server_side=True))
            served[0].send(b"x")
        except OSError:
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        secured = client.wrap_socket(theirs, server_hostname="localhost")
        secured.recv(1)  # TLS 1.3: what the server thinks of our certificate is known only now
    finally:
        thread.join()
        theirs.close()
    return served[0], secured


def _close(*ends: socket.socket) -> None:
    for end in ends:
        end.close()


# ------------------------------------------------------------------ the listener


def test_without_a_certificate_there_is_no_tls() -> None:
    assert listener_context(TlsSettings()) is None


def test_the_profile_is_tls_1_2_and_later_with_forward_secrecy_and_authenticated_encryption(
    files: dict[str, Path],
) -> None:
    context = listener_context(TlsSettings(**files))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    for cipher in context.get_ciphers():
        assert cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith(("ECDHE-", "DHE-"))
        assert cipher["aead"], cipher["name"]


def test_tls_1_1_is_refused(files: dict[str, Path], authority: trustme.CA) -> None:
    context = listener_context(TlsSettings(**files, client_certificate="none"))
    old = _client(authority)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):
        _shake_hands(context, old)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "mode"),
    [("none", ssl.CERT_NONE), ("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)],
)
def test_client_certificates_are_asked_for_as_set(asked: str, mode: ssl.VerifyMode, files: dict[str, Path]) -> None:
    context = listener_context(TlsSettings(**files, client_certificate=asked))  # type: ignore[arg-type]
    assert context is not None
    assert context.verify_mode is mode


def test_a_client_without_the_certificate_that_is_required_is_refused(
    files: dict[str, Path], authority: trustme.CA
) -> None:
    context = listener_context(TlsSettings(**files))
    assert context is not None
    with pytest.raises(OSError):
        _shake_hands(context, _client(authority))
    stranger = _client(authority)
    trustme.CA().issue_cert("WS1").configure_cert(stranger)
    with pytest.raises(OSError):
        _shake_hands(context, stranger)
    _close(*_shake_hands(context, _client(authority, "WS1")))


@pytest.mark.parametrize("asked", ["optional", "required"])
def test_to_check_client_certificates_an_authority_is_needed(asked: str, files: dict[str, Path]) -> None:
    del files["ca"]
    with pytest.raises(ConfigError, match=r"listener\.tls\.ca"):
        listener_context(TlsSettings(**files, client_certificate=asked))  # type: ignore[arg-type]


def test_a_renewed_certificate_is_used_for_the_next_connection(files: dict[str, Path], authority: trustme.CA) -> None:
    settings = TlsSettings(**files, client_certificate="none")
    context = listener_context(settings)
    assert context is not None
    shown = []
    for _ in range(2):
        server, client = _shake_hands(context, _client(authority))
        shown.append(peer_certificate(client))
        _close(server, client)
        _issue(authority, files)
        refresh(context, settings)
    assert shown[0] != shown[1]


@pytest.mark.parametrize("name", ["certificate", "ca"])
@pytest.mark.parametrize("content", [b"", b"not a certificate", None])
def test_a_file_that_cannot_be_used_is_named(name: str, content: bytes | None, files: dict[str, Path]) -> None:
    if content is None:
        files[name].unlink()
    else:
        files[name].write_bytes(content)
    with pytest.raises(ConfigError) as failed:
        listener_context(TlsSettings(**files))
    assert f"listener.tls.{name}" in str(failed.value)
    assert str(files[name]) in str(failed.value)


def test_a_key_that_does_not_fit_is_refused_and_the_old_one_stays(
    files: dict[str, Path], authority: trustme.CA
) -> None:
    settings = TlsSettings(**files, client_certificate="none")
    context = listener_context(settings)
    assert context is not None
    files["private_key"].write_bytes(authority.issue_cert("other").private_key_pem.bytes())
    with pytest.raises(ConfigError, match=r"listener\.tls\.certificate"):
        refresh(context, settings)
    _close(*_shake_hands(context, _client(authority)))


def test_an_encrypted_key_is_refused_rather_than_asked_about(files: dict[str, Path]) -> None:
    """OpenSSL would ask on the terminal, and a service would wait for ever."""
    key = serialization.load_pem_private_key(files["private_key"].read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    files["private_key"].write_bytes(encrypted)
    with pytest.raises(ConfigError, match=r"listener\.tls\.certificate"):
        listener_context(TlsSettings(**files))


# ------------------------------------------------------------------ towards destinations


def _destination(**more: object) -> Destination:
    return Destination.model_validate({"aet": "DEST", "host": "localhost", "port": 104, **more})


def test_a_destination_without_tls_needs_no_context() -> None:
    assert destination_context("d", _destination()) is None


def test_a_destinations_certificate_and_host_are_always_checked(files: dict[str, Path]) -> None:
    for trusted in ({}, {"ca": files["ca"]}):
        context = destination_context("d", _destination(tls=True, **trusted))
        assert context is not None
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_destination_is_shown_our_certificate(files: dict[str, Path], authority: trustme.CA) -> None:
    server = listener_context(TlsSettings(**files))
    assert server is not None
    client = destination_context("d", _destination(tls=True, **files))
    assert client is not None
    ours, theirs = _shake_hands(server, client)
    name, fingerprint = peer_certificate(ours)
    assert name == "localhost"
    der = ssl.PEM_cert_to_DER_cert(files["certificate"].read_text())
    assert fingerprint == hashlib.sha256(der).hexdigest()
    _close(ours, theirs)


@pytest.mark.parametrize("name", ["certificate", "ca"])
def test_a_file_of_a_destination_that_cannot_be_used_is_named(name: str, files: dict[str, Path]) -> None:
    files[name].write_text("nonsense")
    with pytest.raises(ConfigError, match=rf"destinations\.far\.{name}"):
        destination_context("far", _destination(tls=True, **files))


def test_a_peer_without_a_certificate_has_no_name(files: dict[str, Path], authority: trustme.CA) -> None:
    server = listener_context(TlsSettings(**files, client_certificate="none"))
    assert server is not None
    ours, theirs = _shake_hands(server, _client(authority))
    assert peer_certificate(ours) == ("", "")
    _close(ours, theirs)


def test_a_certificate_without_a_common_name_is_known_by_its_fingerprint(
    files: dict[str, Path], authority: trustme.CA
) -> None:
    server = listener_context(TlsSettings(**files))
    assert server is not None
    client = _client(authority)
    authority.issue_cert("ws1.example").configure_cert(client)
    ours, theirs = _shake_hands(server, client)
    name, fingerprint = peer_certificate(ours)
    assert (name, len(fingerprint)) == ("", 64)
    _close(ours, theirs)
