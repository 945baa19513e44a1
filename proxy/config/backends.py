"""Settings of what stands behind and beside us: [backends.NAME], [destinations.NAME]."""

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from proxy.config.table import AeTitle, FilePath, Port, Seconds, Table


class Backend(Table):
    """[backends.NAME]: an Orthanc."""

    url: str = Field(description="Its REST address, as http://127.0.0.1:8042")
    username: str = Field("", description="HTTP basic authentication")
    password: SecretStr = Field(SecretStr(""), description="... or password_file")
    password_file: FilePath | None = Field(None, description="File with the password, as docker secrets are")
    verify: bool | FilePath = Field(True, description="Check its certificate: true, false or a CA bundle's path")
    client_certificate: FilePath | None = Field(
        None, description="PEM file with our certificate and key, where it asks for one"
    )
    connect_timeout: Seconds = Field(5.0, gt=0, description="Seconds to connect")
    read_timeout: Seconds = Field(60.0, gt=0, description="Seconds without a byte")
    connections: int = Field(16, ge=1, le=40, description="HTTP connections per process; Orthanc has 50 threads in all")
    retries: int = Field(3, ge=1, le=10, description="Attempts of a call that may be repeated")
    downloads: int = Field(2, ge=1, le=8, description="Parallel downloads of one retrieve")
    self_modality: str = Field("", description="Orthanc's own modality entry for itself; default: found by AE title")
    dicom_host: str = Field("", description='Its DICOM address, for forward = "dimse"; default: the host of url')

    @model_validator(mode="before")
    @classmethod
    def _credentials_of_url(cls, given: Any) -> Any:
        """Name and password inside the URL become those keys, for the URL is shown in many places; the keys win."""
        parts = _split(given.get("url")) if isinstance(given, Mapping) else None
        if parts is None or "@" not in parts.netloc:
            return given
        told = {"username": unquote(parts.username or "")}
        if not given.get("password_file"):
            told["password"] = unquote(parts.password or "")
        missing = {key: value for key, value in told.items() if value and not given.get(key)}
        return {**given, "url": parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), **missing}

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        try:
            parts = urlsplit(url)
            if not parts.hostname or parts.port == 0:
                raise ValueError
        except ValueError:  # among them: a port beyond 65535
            raise ValueError("must name a host, and a port where it is not the usual one") from None
        return url.rstrip("/")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_file is not None and self.password.get_secret_value():
            raise ValueError("password and password_file cannot both be given")
        return self

    def secret(self) -> str:
        """The password, read from `password_file` where that is given. Raises OSError."""
        if self.password_file is not None:
            return self.password_file.read_text(encoding="utf-8").strip()
        return self.password.get_secret_value()


def _split(url: object) -> SplitResult | None:
    try:
        return urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return None


class Destination(Table):
    """[destinations.NAME]: a Move Destination."""

    aet: AeTitle = Field(description="Its AE title")
    host: str = Field(min_length=1, description="Name or address")
    port: Port = Field(104, gt=0, description="TCP port")
    tls: bool = Field(False, description="Speak TLS to it")
    ca: FilePath | None = Field(None, description="CA bundle that its certificate must be signed by")
    certificate: FilePath | None = Field(None, description="PEM file with our certificate, where it asks for one")
    private_key: FilePath | None = Field(None, description="PEM file with our key")
    calling_aet: AeTitle | None = Field(None, description="Our AE title towards it; default: the pipeline's")
