"""Settings of the process as a whole: [proxy], [listener], [logging], [storage], [limits]."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from proxy.config.table import FilePath, Port, Seconds, Size, Table

LogLevel = Literal["debug", "info", "warning", "error"]


class ProxySettings(Table):
    """[proxy]: this installation."""

    id: str = Field("orthanc-proxy", description="Name of this installation in logs, metrics and on the status page")
    log_level: LogLevel = Field("info", description="debug, info, warning or error")
    pipelines_path: FilePath = Field(
        Path("pipelines"), description="Folder beside this file; every *.toml in it is merged in"
    )
    workers: int | None = Field(
        None, ge=1, le=64, description="Processes that serve associations; default: one per core"
    )
    drain_timeout: Seconds = Field(
        30.0,
        description="Seconds that running requests get to finish on SIGTERM before their associations abort",
    )

    @property
    def worker_processes(self) -> int:
        """How many there are to be."""
        return self.workers or os.cpu_count() or 1


class ListenerSettings(Table):
    """[listener]: the DICOM port."""

    bind_address: str = Field("0.0.0.0", description="Address to listen on")
    bind_port: Port = Field(11112, description="Port to listen on; 0 lets the kernel choose")
    max_pdu: int = Field(16384, ge=0, le=1 << 24, description="Longest P-DATA PDU we offer to receive; 0 = no limit")
    check_called_aet: bool = Field(
        True,
        description="Reject a called AE title that no pipeline has; false: it goes to the first pipeline",
    )
    wire: Literal["fast", "stock"] = Field(
        "fast", description='"fast": our own upper layer; "stock": pynetdicom\'s, the reference and way back'
    )
    pending_interval: Seconds = Field(
        0.1,
        description="At most one Pending response of a retrieve in this many seconds; 0 = after each sub-operation",
    )
    heartbeat_interval: Seconds = Field(
        3.0, gt=0, description="While nothing else happens in a retrieve, a Pending goes out this often"
    )


class TlsSettings(Table):
    """[listener.tls]: DICOM over TLS (BCP 195 profile, PS3.15 B.9). Off unless a certificate is named."""

    bind_port: Port | None = Field(
        None, description="Port for TLS beside the plain one; none: [listener] bind_port itself speaks TLS"
    )
    certificate: FilePath | None = Field(None, description="PEM file with our certificate chain")
    private_key: FilePath | None = Field(None, description="PEM file with its key")
    ca: FilePath | None = Field(None, description="PEM bundle that client certificates must be signed by")
    client_certificate: Literal["none", "optional", "required"] = Field(
        "required", description="Ask clients for a certificate?"
    )
    pins: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Calling AE title -> common names or SHA-256 fingerprints its certificate must have",
    )


class Listener(ListenerSettings):
    """[listener]: the DICOM port, with TLS in a table below."""

    tls: TlsSettings = Field(default_factory=TlsSettings, description="DICOM over TLS")


class LoggingSettings(Table):
    """[logging]: where log lines go."""

    log_to_file: bool = Field(False, description="Write to a file, too (standard error always gets them)")
    log_file_path: FilePath = Field(
        Path("./tmp/orthanc_proxy.log"), description="That file; rotation by renaming is noticed"
    )
    format: Literal["text", "json"] = Field("text", description="text or json")


class StorageSettings(Table):
    """[storage]: the folder for everything that must survive a restart."""

    path: FilePath = Field(Path("./tmp"), description="cache/, dimse/ (the spool) and commitment/ live below it")


class LimitsSettings(Table):
    """[limits]: what any peer may ask of us. Past a bound: a rejection, a status or an abort, a log line, a metric."""

    associations: int = Field(200, ge=1, le=10000, description="Associations at the same time, in all workers together")
    associations_per_aet: int = Field(0, ge=0, description="The same, per calling AE title; 0 = no limit of its own")
    associations_per_address: int = Field(0, ge=0, description="The same, per peer address; 0 = no limit of its own")
    pending_connections: int = Field(
        64, ge=1, description="Connections without a whole A-ASSOCIATE-RQ; past it the oldest goes"
    )
    request_timeout: Seconds = Field(
        10.0, gt=0, description="From connect, TLS handshake included, to a whole A-ASSOCIATE-RQ"
    )
    idle_timeout: Seconds = Field(60.0, gt=0, description="An association without any message for so long is aborted")
    pdu_timeout: Seconds = Field(
        20.0, gt=0, description="From the first to the last byte of a PDU, and between the PDUs of a message"
    )
    send_timeout: Seconds = Field(20.0, gt=0, description="A write may make no progress for so long")
    response_timeout: Seconds = Field(60.0, gt=0, description="A receiver's time to answer a C-STORE sub-operation")
    connect_timeout: Seconds = Field(10.0, gt=0, description="TCP connect and association with a destination")
    association_request: Size = Field(Size(256 * 1024), description="Bytes of an A-ASSOCIATE-RQ")
    pdu: Size = Field(Size(1 << 20), description="Bytes of a P-DATA PDU where [listener] max_pdu = 0")
    smallest_peer_pdu: int = Field(1018, ge=16, description="A peer that can receive less per PDU is rejected")
    contexts: int = Field(128, ge=1, le=128, description="Presentation contexts of one association")
    command_set: Size = Field(Size(16 * 1024), description="Bytes of a DIMSE command set")
    identifier: Size = Field(Size(1 << 20), description="Bytes of a C-FIND, C-GET or C-MOVE identifier")
    instance: Size = Field(Size(8 << 30), description="Bytes of a received instance")
    nesting: int = Field(32, ge=1, le=256, description="Depth of sequences in anything received")
    uids_per_list: int = Field(10000, ge=1, description="UIDs in one value of an identifier")
    results: int = Field(0, ge=0, description="Answers to one C-FIND; past it status A700 says so; 0 = no limit")
    suboperations: int = Field(100000, ge=1, description="Instances of one C-GET or C-MOVE")
