"""Ready or not, and why: what `/readyz` answers to a load balancer."""

from dataclasses import dataclass

from proxy.admin import advice
from proxy.admin.controls import Probes


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason not to be ready: `code` for programs, `words` for people, `advice` on what helps."""

    code: str
    words: str
    advice: str = ""


def reasons_not_ready(probes: Probes) -> tuple[Reason, ...]:
    """Empty = ready. One unreachable Orthanc of several is enough: its AE titles cannot be served."""
    reasons = []
    if probes.draining:
        reasons.append(Reason("draining", "shutting down: running requests finish, new associations are rejected"))
    if probes.workers_alive == 0:
        reasons.append(Reason("no-worker", "no worker process is alive"))
    for backend in probes.backends:
        if not backend.reachable:
            words = f"Orthanc {backend.name!r} at {backend.url} is not available"
            words += f": {backend.words}" if backend.words else ""
            reasons.append(Reason("orthanc-unreachable", words, advice.for_backend(backend.name, backend.words)))
    if probes.spool_full:
        words = f"C-STORE is refused: {probes.spool_full}"
        reasons.append(Reason("spool-full", words, advice.for_spool(probes.spool_full)))
    return tuple(reasons)
