"""What a process tree holds and how long others wait, second by second; and what the samples say."""

import statistics
import threading
import time
from dataclasses import dataclass, field

from tests.attack.kit import Usage, usage
from tests.support import raw

ECHO_WITHIN = 2.0  # seconds
_WARM_UP = 0.25  # of the samples: what is made once is made by then
_RISE = 1 << 20  # bytes a minute that a line through the samples may rise


@dataclass(frozen=True)
class Sample:
    """One look: seconds since the start, what is held, and how long a C-ECHO of an outsider took (None: too long)."""

    at: float
    usage: Usage
    echo: float | None


@dataclass
class Watch:
    """Looks at the proxy once a second, from its own thread, between `start` and `stop`."""

    port: int
    aet: str
    pid: int
    samples: list[Sample] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(1.0):
            self.samples.append(Sample(time.monotonic() - began, usage(self.pid, self.port), self._echo()))

    def _echo(self) -> float | None:
        try:
            return raw.echo(self.port, self.aet, timeout=2 * ECHO_WITHIN, calling="OUTSIDER")
        except (raw.Ended, OSError):
            return None

    @property
    def echoes(self) -> list[float]:
        """Seconds of all that were answered."""
        return [sample.echo for sample in self.samples if sample.echo is not None]

    def complaints(self) -> list[str]:
        """What the samples say against the proxy; `rise` matters once there are minutes of them."""
        found = []
        late = sum(sample.echo is None or sample.echo > ECHO_WITHIN for sample in self.samples)
        if late:
            found.append(f"{late} of {len(self.samples)} C-ECHOs took more than {ECHO_WITHIN:g} s")
        if len(self.samples) >= 120 and self.rise() > _RISE:
            found.append(f"memory rises by {self.rise() / (1 << 20):.1f} MiB a minute")
        return found

    def rise(self) -> float:
        """Bytes a minute by which the memory rises, by a line through the samples after the warm-up."""
        settled = self.samples[int(len(self.samples) * _WARM_UP) :]
        if len(settled) < 2:
            return 0.0
        line = statistics.linear_regression([s.at for s in settled], [float(s.usage.memory) for s in settled])
        return line.slope * 60
