"""Reading the configuration again: what may change while associations are open, and what needs a restart."""

from collections.abc import Iterator

from proxy.config import Settings
from proxy.config.names import dotted, unresolved
from proxy.errors import ConfigError

# What every worker and the supervisor take over as they are; all else is opened or built once at start.
_LIVE = ("pipelines", "destinations", "limits")
_LIVE_KEYS = {
    "proxy": ("log_level",),
    "admin": ("users", "tokens", "hosts", "read_from_anywhere", "metrics_from_anywhere"),
}


def merged(running: Settings, wanted: Settings) -> tuple[Settings, tuple[str, ...]]:
    """`running` with all of `wanted` that can be taken over live, and the words on what had to be left.

    Raises ConfigError where what could be taken over needs what cannot.
    """
    updates: dict[str, object] = {name: getattr(wanted, name) for name in _LIVE}
    for table, keys in _LIVE_KEYS.items():
        updates[table] = getattr(running, table).model_copy(
            update={k: getattr(getattr(wanted, table), k) for k in keys}
        )
    taken = running.model_copy(update=updates)
    missing = unresolved(taken.pipelines, taken.backends, taken.destinations)
    if complaints := [f"{dotted(path)}: {what} (a new backend needs a restart)" for path, what in missing]:
        raise ConfigError(complaints)
    return taken, tuple(f"{key} has changed but needs a restart" for key in _differences(taken, wanted))


def _differences(taken: Settings, wanted: Settings) -> Iterator[str]:
    for table in type(taken).model_fields:
        ours, theirs = getattr(taken, table), getattr(wanted, table)
        if ours == theirs:
            continue
        if isinstance(ours, dict):
            yield from (
                f"{table}.{name}" for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)
            )
        else:
            yield from (
                f"{table}.{key}" for key in type(ours).model_fields if getattr(ours, key) != getattr(theirs, key)
            )
