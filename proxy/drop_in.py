"""A configuration for taking an Orthanc's place, from what it tells of itself by REST; and what to do next. Pure.

Everybody may do what Orthanc lets them: its table of modalities is asked for anew while the proxy runs. What REST
does not tell (DicomAlwaysAllow..., DicomCheckCalledAet, DicomCheckModalityHost) is written with Orthanc's defaults.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from proxy.access import same_aet
from proxy.config import AlwaysAllow
from proxy.config.reference import toml, toml_key
from proxy.orthanc.modalities import Modality

MAIN, PIPELINE = Path("config.toml"), Path("pipelines/dicom-scp.toml")
_USUAL, _INSTEAD = 11112, 11113
_SERVICES = ["echo", "find", "get", "move", "store", "commitment"]


@dataclass(frozen=True, slots=True)
class Found:
    """An Orthanc as it was found; `name`, `aet`, `port` and `version` as /system tells them."""

    url: str
    name: str
    aet: str
    port: int
    version: str
    modalities: Mapping[str, Modality]

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine, as far as its address tells."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for. `take_over`: to listen where Orthanc does; paths are absolute."""

    take_over: bool = False
    username: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    storage: Path | None = None


def port_of(found: Found, wishes: Wishes) -> int:
    """Where the proxy is going to listen."""
    if wishes.take_over:
        return found.port
    return _USUAL if found.port != _USUAL else _INSTEAD


def files(found: Found, wishes: Wishes) -> dict[Path, str]:
    """The text of each file, by its place in the folder of the configuration."""
    return {MAIN: "\n".join(_main(found, wishes)) + "\n", PIPELINE: "\n".join(_pipeline(found, wishes)) + "\n"}


def _main(found: Found, wishes: Wishes) -> Iterator[str]:
    yield f"# Written by `orthanc-proxy init`. {_described(found)}"
    yield "# All keys: docs/configuration.md, or `orthanc-proxy config docs`."
    yield ""
    yield "[proxy]"
    yield f"id = {toml(f'{found.name}-proxy' if found.name else 'orthanc-proxy')}"
    yield f"pipelines_path = {toml(str(PIPELINE.parent))}"
    yield ""
    yield "[listener]"
    yield f"bind_port = {port_of(found, wishes)}"
    yield "check_called_aet = false  # as Orthanc, unless its DicomCheckCalledAet is true"
    if wishes.storage is not None:
        yield ""
        yield "[storage]"
        yield f"path = {toml(wishes.storage)}"


def _pipeline(found: Found, wishes: Wishes) -> Iterator[str]:
    yield f"# Written by `orthanc-proxy init`. {_described(found)}"
    yield ""
    yield "[pipelines.dicom_scp]"
    yield f"aet = {toml(found.aet)}  # Orthanc's own: whoever calls it need not be told another one"
    yield f"services = {toml(_SERVICES)}"
    yield 'backend = "orthanc"'
    yield 'access = "orthanc"  # as its DicomModalities say'
    yield ""
    yield "# What everybody may do. Orthanc does not tell it by REST: these are its defaults. Compare them with"
    yield "# DicomAlwaysAllowEcho, ... and DicomCheckModalityHost in its configuration."
    yield "[pipelines.dicom_scp.always_allow]"
    yield from (f"{name} = {toml(value)}" for name, value in AlwaysAllow())
    yield ""
    yield "[backends.orthanc]"
    yield f"url = {toml(found.url)}"
    if wishes.username:
        yield f"username = {toml(wishes.username)}"
    if wishes.password_file is not None:
        yield f"password_file = {toml(wishes.password_file)}"
    if wishes.ca is not None:
        yield f"verify = {toml(wishes.ca)}"
    yield from _destinations(found)


def _destinations(found: Found) -> Iterator[str]:
    yield ""
    yield "# Move Destinations: those in Orthanc's DicomModalities are known without being listed, and asked for anew."
    yield "# What is listed here wins over them; these were there when this was written."
    for name, one in sorted(found.modalities.items()):
        yield f"# [destinations.{toml_key(name)}]"
        yield f"# aet = {toml(one.aet)}"
        yield f"# host = {toml(one.host)}"
        yield f"# port = {one.port}"
        if one.tls:
            yield "# tls = true"
        yield "#"


def _described(found: Found) -> str:
    named = f" {toml(found.name)}" if found.name else ""
    return f"Orthanc {found.version}{named}: AE title {toml(found.aet)}, DICOM port {found.port}."


def next_steps(found: Found, wishes: Wishes, config: Path) -> list[str]:
    """What remains to be done, in order."""
    steps = list(_moving(found)) if wishes.take_over else []
    steps.append("Compare [pipelines.dicom_scp.always_allow] with DicomAlwaysAllow... in Orthanc's configuration.")
    steps.append(f"orthanc-proxy check --live --config {config}")
    steps.append(f"orthanc-proxy serve --config {config}")
    if not wishes.take_over:
        steps.append(
            f"Send to AE title {found.aet}, port {port_of(found, wishes)} of this machine, whoever is to use it."
        )
    elif found.is_here:
        steps.append("Nobody else need be told: AE title, address and port are what Orthanc's were.")
    else:
        host = urlsplit(found.url).hostname
        steps.append(f"Tell everybody who calls {host} the address of this machine, or let it have that address.")
    return steps


def _moving(found: Found) -> Iterator[str]:
    """Orthanc makes room."""
    there = found.port + 1
    yield f'Set "DicomPort": {there} in Orthanc\'s configuration, and restart Orthanc.'
    for name, one in sorted(found.modalities.items()):
        if same_aet(one.aet, found.aet) and one.port == found.port:
            yield f"Set the port of its modality {toml(name)}, which is Orthanc itself, to {there}."
