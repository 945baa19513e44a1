"""`orthanc-proxy echo AE@host:port`: is anybody there, and does it let us in?"""

import ssl
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.options import fail, refuse
from proxy.config import Destination
from proxy.echo import Address, EchoFailed
from proxy.echo import echo as send_echo
from proxy.errors import ConfigError
from proxy.tls import destination_context


def echo(
    address: Annotated[str, typer.Argument(metavar="AE@HOST:PORT", help="Whom to ask")],
    aet: Annotated[str, typer.Option("-aet", "--aetitle", help="Our AE title")] = "ORTHANC_PROXY",
    aec: Annotated[str, typer.Option("-aec", "--call", help="Their AE title, instead of AE")] = "",
    timeout: Annotated[float, typer.Option("--timeout", "-to", min=0.1, help="Seconds")] = 10.0,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS")] = False,
    ca: Annotated[Path | None, typer.Option(help="CA bundle that their certificate must be signed by")] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file with our certificate")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file with our key")] = None,
) -> None:
    """Send a C-ECHO to a DICOM node."""
    try:
        peer = Address.parse(address)
        peer = Address(aec or peer.aet, peer.host, peer.port)
        context = _context(peer, ca, certificate, key) if tls or ca or certificate else None
        seconds = send_echo(peer, aet, timeout=timeout, ssl_context=context)
    except ConfigError as error:
        refuse(error)
    except ValueError as error:
        refuse(ConfigError([str(error)]))
    except EchoFailed as error:
        fail(f"{address}: {error}")
    typer.echo(f"{peer}: C-ECHO 0000 (success) in {seconds * 1000:.0f} ms")


def _context(peer: Address, ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    destination = Destination(
        aet=peer.aet, host=peer.host, port=peer.port, tls=True, ca=ca, certificate=certificate, private_key=key
    )
    return destination_context(peer.aet, destination)
