"""The C-STORE part: the proxy in both modes against Orthanc's own SCP."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from benchmarks.measure import Series, timed
from benchmarks.recording import Recording, Relay, build_floor, running_floor
from benchmarks.studies import Study
from benchmarks.systems import FLOOR, ORTHANC, ORTHANC_NODELAY, SPOOL, THROUGH, Bench, System, start_proxy
from benchmarks.works import store, store_command, wait_until
from proxy.demo.orthanc import Orthanc
from tests.support.dcmtk import environment
from tests.support.proxy_process import AET


def run(bench: Bench, studies: Sequence[Study], runs: int, slow_runs: int, tell: Callable[[str], None]) -> list[Series]:
    """All systems, both Nagle variants of the proxy's client, one and four associations."""
    owner: dict[str, Orthanc] = {ORTHANC: bench.orthancs[ORTHANC], ORTHANC_NODELAY: bench.orthancs[ORTHANC_NODELAY]}
    systems = [bench.systems[ORTHANC], bench.systems[ORTHANC_NODELAY]]
    for mode, name in (("spool", SPOOL), ("through", THROUGH)):
        pipeline = {"pipelines": {"under_test": {"services": ["echo", "store"], "store_mode": mode}}}
        system = start_proxy(bench, name, pipeline)
        for nodelay, words in ((True, "client TCP_NODELAY=1"), (False, "client as installed")):
            title = f"{name}, {words}"
            systems.append(System(title, system.port, AET, system.pid, nodelay_client=nodelay))
            owner[title] = bench.orthancs[ORTHANC]

    def settle(system: System, study: Study) -> None:
        """Wait for what is spooled to arrive, whoever comes next, then delete the study wherever it is."""
        spool = bench.proxies[SPOOL].storage / "dimse"
        wait_until(lambda: not any(spool.rglob("*.dcm")))
        orthanc = owner.get(system.name)
        if orthanc is not None:
            for found in orthanc.post("/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": study.uid}}):
                orthanc.delete(f"/studies/{found}")

    results = []
    for study in studies:
        with _floor(bench, study, settle) as floor:
            results += store(bench, study, [*systems, *floor], settle, runs, slow_runs, tell)
    return results


@contextlib.contextmanager
def _floor(bench: Bench, study: Study, settle: Callable[[System, Study], None]) -> Iterator[list[System]]:
    """Replays how an Orthanc took this study on one association."""
    program = build_floor(bench.folder)
    if program is None:
        yield []
        return
    source = bench.systems[ORTHANC_NODELAY]
    settle(source, study)
    script = bench.folder / "store.script"
    with script.open("wb") as target:
        recording = Recording(target)
        relay = Relay(source.port, recording, 0, server_side=False)
        through = System(FLOOR, relay.port, source.aet, source.pid, nodelay_client=True)
        timed([store_command(through, study.folder)], dict(environment(nodelay=True)), source.pid)
        relay.close()
        recording.finish()
    try:
        with running_floor(program, script) as (port, pid):
            yield [System(FLOOR, port, source.aet, pid, nodelay_client=True)]
    finally:
        script.unlink()
