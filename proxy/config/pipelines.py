"""Settings of an AE title: [pipelines.NAME] and its sub-tables."""

from ipaddress import ip_network
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from proxy.config.table import AeTitle, Seconds, Size, Table

ServiceName = Literal["echo", "find", "get", "move", "store", "commitment"]


class AccessRule(Table):
    """[[pipelines.NAME.rules]]: who may use which services; a rule matches when all that it names match."""

    name: str = Field("", description="How log and Error Comment name this rule")
    calling_aet: list[str] = Field(default_factory=list, description="AE titles, * and ? allowed; empty = any")
    address: list[str] = Field(default_factory=list, description="Addresses or networks in CIDR form; empty = any")
    services: list[ServiceName] | None = Field(None, description="What is granted; default: all of the pipeline's")
    destinations: list[str] = Field(
        default_factory=list, description="Move Destinations allowed, * and ? allowed; empty = any"
    )
    username: str = Field("", description="User Identity Negotiation: this user name is required")
    passcode: SecretStr = Field(SecretStr(""), description="... with this passcode")

    @field_validator("address")
    @classmethod
    def _networks(cls, addresses: list[str]) -> list[str]:
        for address in addresses:
            try:
                ip_network(address, strict=False)
            except ValueError:
                raise ValueError(f"{address!r} is no address, and no network as 10.0.0.0/8") from None
        return addresses


class AlwaysAllow(Table):
    """[pipelines.NAME.always_allow]: Orthanc's DicomAlwaysAllow...; used by access = "orthanc", unreadable by REST."""

    echo: bool = Field(True, description="DicomAlwaysAllowEcho")
    find: bool = Field(False, description="DicomAlwaysAllowFind")
    get: bool = Field(False, description="DicomAlwaysAllowGet")
    move: bool = Field(False, description="DicomAlwaysAllowMove")
    store: bool = Field(True, description="DicomAlwaysAllowStore")
    check_modality_host: bool = Field(False, description="DicomCheckModalityHost")


class RouteRule(Table):
    """[[pipelines.NAME.routes]]: where instances that match are forwarded, instead of `forward_to`."""

    calling_aet: list[str] = Field(default_factory=list, description="Calling AE titles, * and ? allowed; empty = any")
    modality: list[str] = Field(default_factory=list, description="Values of Modality (0008,0060); empty = any")
    sop_class: list[str] = Field(default_factory=list, description="SOP Class UIDs, * allowed; empty = any")
    forward_to: list[str] = Field(min_length=1, description="Names of backends or destinations")


class Pipeline(Table):
    """[pipelines.NAME]: one AE title with its services, backend and rules."""

    description: str = Field("", description="For people")
    aet: AeTitle = Field("HARMONY_SCP", description="Our AE title")
    services: list[ServiceName] = Field(
        default_factory=lambda: list[ServiceName](("echo", "find", "get", "move")),
        description="echo, find, get, move, store, commitment",
    )
    backend: str = Field("orthanc", description="Name of the [backends.NAME] behind this AE title")
    move_strategy: Literal["direct", "orthanc-store", "orthanc-move"] = Field(
        "direct",
        description="C-MOVE by us, by Orthanc's /modalities/{dest}/store, or by its /modalities/{self}/move",
    )
    archives: list[str] = Field(
        default_factory=list,
        description="Orthanc modality names asked when Orthanc itself does not hold what a C-MOVE names",
    )
    access: Literal["open", "list", "orthanc"] = Field(
        "open",
        description='"open": anybody; "list": `rules` only; "orthanc": as Orthanc\'s DicomModalities say',
    )
    rules: list[AccessRule] = Field(default_factory=list, description='Used by access = "list"')
    always_allow: AlwaysAllow = Field(default_factory=AlwaysAllow, description='Used by access = "orthanc"')
    store_mode: Literal["spool", "through"] = Field(
        "spool",
        description='C-STORE succeeds when synced to our disk ("spool") or when Orthanc has it ("through")',
    )
    through_fallback: Literal["refuse", "spool"] = Field(
        "refuse", description='In mode "through" with Orthanc away: answer A700, or spool'
    )
    unknown_sop_classes: bool = Field(False, description="Accept C-STORE of SOP classes that no standard names")
    forward: Literal["rest", "dimse"] = Field(
        "rest", description='"dimse" forwards to Orthanc\'s DICOM port under the original calling AE title'
    )
    forward_to: list[str] = Field(
        default_factory=list,
        description="Backends or destinations that get received instances; empty = `backend`",
    )
    routes: list[RouteRule] = Field(
        default_factory=list, description="Exceptions to `forward_to`; the first match wins"
    )
    provenance_metadata: bool = Field(
        False, description="Write calling AE, address and time to Orthanc as user metadata 1024 to 1027"
    )

    @field_validator("services")
    @classmethod
    def _each_once(cls, services: list[ServiceName]) -> list[ServiceName]:
        return list(dict.fromkeys(services))


class SpoolSettings(Table):
    """[spool]: received instances that Orthanc does not have yet, below <storage.path>/dimse."""

    max_bytes: Size = Field(Size(50 << 30), description="Past it C-STORE is answered A700")
    min_free_bytes: Size = Field(
        Size(1 << 30), description="Free space on that disk below which C-STORE is answered A700"
    )
    max_instances: int = Field(1_000_000, ge=1, description="Waiting instances; past it C-STORE is answered A700")
    parallel: int = Field(4, ge=1, le=32, description="Instances forwarded at the same time, per target")
    retry_initial: Seconds = Field(1.0, gt=0, description="First pause after a failed delivery")
    retry_max: Seconds = Field(300.0, gt=0, description="Longest pause between deliveries")
    keep_delivered: bool = Field(False, description="Keep files after delivery (for tests and migrations)")


class CommitmentSettings(Table):
    """[commitment]: Storage Commitment Push Model (PS3.4 J)."""

    wait: Seconds = Field(
        60.0, description="How long what is spooled may take to reach Orthanc before it fails with 0x0110"
    )
    retry_initial: Seconds = Field(5.0, gt=0, description="First pause before a report is tried again")
    retry_max: Seconds = Field(600.0, gt=0, description="Longest pause")
    give_up_after: Seconds = Field(
        86400.0, gt=0, description="A report that nobody took for so long is dropped and logged"
    )
