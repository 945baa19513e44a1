"""Which targets get a received instance: the first route that matches, else `forward_to`, else the backend. Pure."""

from fnmatch import fnmatchcase

from proxy.config import Pipeline


def targets_of(pipeline: Pipeline, calling_aet: str, modality: str, sop_class_uid: str) -> tuple[str, ...]:
    """Names of backends and destinations, each once, in the order of the configuration."""
    for route in pipeline.routes:
        if (
            _matches(calling_aet, route.calling_aet)
            and _matches(modality, route.modality)
            and _matches(sop_class_uid, route.sop_class)
        ):
            return tuple(dict.fromkeys(route.forward_to))
    return tuple(dict.fromkeys(pipeline.forward_to or [pipeline.backend]))


def _matches(value: str, patterns: list[str]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)
