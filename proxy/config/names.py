"""The names by which tables speak of each other: every one must exist, and every AE title stands once."""

from collections.abc import Collection, Iterator, Mapping

from proxy.config.pipelines import Pipeline

Path = tuple[str | int, ...]


def unresolved(
    pipelines: Mapping[str, Pipeline], backends: Collection[str], destinations: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """What does not fit together: the place of the key, and what is wrong there."""
    seen: dict[str, str] = {}
    for name, pipeline in pipelines.items():
        here: Path = ("pipelines", name)
        if pipeline.backend not in backends:
            known = ", ".join(sorted(backends)) or "none"
            yield (*here, "backend"), f"no [backends.{pipeline.backend}]; there is: {known}"
        for target in _missing(pipeline.forward_to, backends, destinations):
            yield (*here, "forward_to"), f"no backend or destination {target!r}"
        for number, route in enumerate(pipeline.routes):
            for target in _missing(route.forward_to, backends, destinations):
                yield (*here, "routes", number, "forward_to"), f"no backend or destination {target!r}"
        if pipeline.aet in seen:
            yield (*here, "aet"), f"{pipeline.aet!r} is taken by pipelines.{seen[pipeline.aet]}"
        seen.setdefault(pipeline.aet, name)
    for name in destinations:
        if name in backends:
            yield ("destinations", name), f"a backend is called {name!r}, too, and `forward_to` could mean either"


def _missing(targets: list[str], backends: Collection[str], destinations: Collection[str]) -> list[str]:
    return [target for target in targets if target not in backends and target not in destinations]


def dotted(path: Path) -> str:
    """The place as people write it: `pipelines.dicom_scp.rules[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
