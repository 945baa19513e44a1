"""The settings: one frozen model per TOML table, with default, unit and meaning beside each field.

`proxy.config.file` reads them. Each component receives its own table, never the whole.
"""

from typing import Self

from pydantic import Field, model_validator

from proxy.config.admin import AdminSettings, User
from proxy.config.backends import Backend, Destination
from proxy.config.names import dotted, unresolved
from proxy.config.pipelines import (
    AccessRule,
    AlwaysAllow,
    CommitmentSettings,
    Pipeline,
    RouteRule,
    ServiceName,
    SpoolSettings,
)
from proxy.config.process import (
    LimitsSettings,
    Listener,
    LoggingSettings,
    ProxySettings,
    StorageSettings,
    TlsSettings,
)
from proxy.config.stores import CacheSettings
from proxy.config.table import Table

__all__ = [
    "AccessRule",
    "AdminSettings",
    "AlwaysAllow",
    "Backend",
    "CacheSettings",
    "CommitmentSettings",
    "Destination",
    "LimitsSettings",
    "Listener",
    "LoggingSettings",
    "Pipeline",
    "ProxySettings",
    "RouteRule",
    "ServiceName",
    "Settings",
    "SpoolSettings",
    "StorageSettings",
    "TlsSettings",
    "User",
]


class Settings(Table):
    """The whole configuration, as merged from files, environment and command line."""

    proxy: ProxySettings = Field(default_factory=ProxySettings)
    listener: Listener = Field(default_factory=Listener)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    spool: SpoolSettings = Field(default_factory=SpoolSettings)
    commitment: CommitmentSettings = Field(default_factory=CommitmentSettings)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    admin: AdminSettings = Field(default_factory=AdminSettings)
    pipelines: dict[str, Pipeline] = Field(default_factory=lambda: {"dicom_scp": Pipeline()}, min_length=1)
    backends: dict[str, Backend] = Field(min_length=1)
    destinations: dict[str, Destination] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        """Every backend and target that a pipeline names exists, and no two pipelines share an AE title."""
        complaints = unresolved(self.pipelines, self.backends, self.destinations)
        if lines := [f"{dotted(path)}: {what}" for path, what in complaints]:
            raise ValueError("\n".join(lines))
        return self
