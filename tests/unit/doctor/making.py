"""Settings for what is looked at."""

from typing import Any

from proxy.config import Settings


def settings(**tables: Any) -> Settings:
    """One pipeline before an Orthanc that is not there, on loopback."""
    made: dict[str, Any] = {
        "proxy": {"id": "here"},
        "listener": {"bind_address": "127.0.0.1"},
        "admin": {"enabled": False},
        "pipelines": {"one": {"aet": "ONE"}},
        "backends": {"orthanc": {"url": "http://127.0.0.1:1", "retries": 1}},
    }
    return Settings.model_validate({**made, **tables})
