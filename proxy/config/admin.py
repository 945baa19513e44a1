"""Settings of the admin server: [admin]."""

from typing import Literal

from pydantic import Field, SecretStr

from proxy.config.table import Port, Table


class User(Table):
    """[admin.users.NAME]: somebody who may log in to the status page."""

    password_hash: SecretStr = Field(description="As printed by `orthanc-proxy hash-password` (scrypt)")
    role: Literal["viewer", "operator", "admin"] = Field(
        "operator", description="viewer reads; operator changes; admin sees patient data"
    )


class AdminSettings(Table):
    """[admin]: status page, metrics and health over HTTP."""

    enabled: bool = Field(True, description="Serve it")
    bind_address: str = Field("127.0.0.1", description="Address to listen on")
    bind_port: Port = Field(9090, description="Port to listen on; 0 lets the kernel choose")
    read_from_anywhere: bool = Field(False, description="Let other addresses than loopback read without a login")
    metrics_from_anywhere: bool = Field(True, description="... or at least /metrics, /livez and /readyz")
    users: dict[str, User] = Field(default_factory=dict, description="Who may log in")
    tokens: dict[str, SecretStr] = Field(
        default_factory=dict, description="Name -> bearer token with the role operator"
    )
    hosts: list[str] = Field(
        default_factory=list, description="Further Host headers to answer to, beside addresses and localhost"
    )
