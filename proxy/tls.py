"""TLS as the BCP 195 profile of PS3.15 B.9 has it: contexts for our listener and towards destinations.

Certificates are loaded into an existing context again on reload (`refresh`), so that a renewed one is used for
the next connection without a restart.
"""

import hashlib
import ssl
from pathlib import Path
from typing import Any

from proxy.config import Destination, TlsSettings
from proxy.errors import ConfigError

# TLS 1.2 with forward secrecy and authenticated encryption only; TLS 1.3 chooses its own.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!eNULL:!MD5:!DSS"
_CLIENT_CERTIFICATE = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def listener_context(settings: TlsSettings) -> ssl.SSLContext | None:
    """The context of our TLS listener, or None where TLS is off. Raises ConfigError."""
    if settings.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _profile(context)
    context.verify_mode = _CLIENT_CERTIFICATE[settings.client_certificate]
    if settings.ca is None and settings.client_certificate != "none":
        raise ConfigError(['listener.tls.ca: needed to check client certificates (or set client_certificate = "none")'])
    refresh(context, settings)
    return context


def refresh(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Load the certificate files into `context` (again). Raises ConfigError naming the file at fault."""
    if settings.certificate is not None:
        _load_chain(context, "listener.tls.certificate", settings.certificate, settings.private_key)
    if settings.ca is not None:
        _load_ca(context, "listener.tls.ca", settings.ca)


def destination_context(name: str, destination: Destination) -> ssl.SSLContext | None:
    """The context towards a Move Destination, or None where it does not speak TLS. Raises ConfigError.

    Without `ca` the system's trusted authorities are used; the host name is always checked.
    """
    if not destination.tls:
        return None
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    _profile(context)
    if destination.ca is not None:
        _load_ca(context, f"destinations.{name}.ca", destination.ca)
    if destination.certificate is not None:
        _load_chain(context, f"destinations.{name}.certificate", destination.certificate, destination.private_key)
    return context


def peer_certificate(connection: ssl.SSLSocket) -> tuple[str, str]:
    """Common name and SHA-256 fingerprint (hex) of the certificate that the peer showed; "" and "" without one."""
    certificate = connection.getpeercert(binary_form=True)
    if certificate is None:
        return "", ""
    return _common_name(connection.getpeercert()), hashlib.sha256(certificate).hexdigest()


def _common_name(certificate: Any) -> str:
    """The subject's common name in what ssl tells of a checked certificate; "" where there is none."""
    for attributes in (certificate or {}).get("subject", ()):
        for name, value in attributes:
            if name == "commonName":
                return str(value)
    return ""


def _profile(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _load_chain(context: ssl.SSLContext, key: str, certificate: Path, private_key: Path | None) -> None:
    try:
        # An encrypted key would make OpenSSL ask on the terminal of a service: refuse instead.
        context.load_cert_chain(certificate, private_key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{key}: cannot use {certificate}: {error}"]) from error


def _load_ca(context: ssl.SSLContext, key: str, bundle: Path) -> None:
    try:
        context.load_verify_locations(bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{key}: cannot use {bundle}: {error}"]) from error
