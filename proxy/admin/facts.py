"""What page and API show: the board's picture and the supervisor's answers, put together."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.admin import advice
from proxy.admin.board import Board, Row, Running, Totals
from proxy.admin.controls import (
    About,
    ArchiveInfo,
    BackendState,
    CacheSnapshot,
    Controls,
    DestinationInfo,
    Echo,
    PipelineInfo,
    SpoolSnapshot,
    WorkerInfo,
)
from proxy.admin.health import Reason, reasons_not_ready
from proxy.admin.sessions import Identity
from proxy.admin.stories import Deed, Problem, Story
from proxy.spool.whose import Whose

_LOGGER = logging.getLogger("proxy.admin")


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """One of our AE titles with its counts."""

    pipeline: PipelineInfo
    row: Row


@dataclass(frozen=True, slots=True)
class AdvisedDeed:
    """Operations of one kind, and what can be done where they failed."""

    deed: Deed
    outcome: str
    bad: bool
    advice: str


@dataclass(frozen=True, slots=True)
class AdvisedStory:
    """An association, what was done in it, and what can be done where it failed."""

    story: Story
    rejection: str
    advice: str
    deeds: list[AdvisedDeed]


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """A Move Destination and the last echo that was asked for here."""

    destination: DestinationInfo
    echo: Echo | None = None
    echoed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What /readyz answers."""

    ready: bool
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at once. `now` and all times in seconds since the epoch."""

    now: float
    about: About
    health: Health
    totals: Totals
    pipelines: list[PipelineRow]
    requestors: list[Row]
    transfers: list[Running]
    associations: list[AdvisedStory]
    errors: list[Problem]
    spool: SpoolSnapshot
    cache: CacheSnapshot
    backends: tuple[BackendState, ...]
    archives: tuple[ArchiveInfo, ...]
    destinations: list[DestinationRow]
    workers: tuple[WorkerInfo, ...]
    log_level: str


@dataclass
class Facts:
    """Asks board and supervisor. Remembers the last echo per destination, so that everybody sees it."""

    board: Board
    controls: Controls
    clock: Callable[[], float] = time.time
    _echoes: dict[str, tuple[Echo, float]] = field(default_factory=dict)

    def health(self) -> Health:
        """Ready or not, with reasons."""
        reasons = reasons_not_ready(self.controls.probes())
        return Health(not reasons, reasons)

    def pipelines(self) -> list[PipelineRow]:
        """Our AE titles, as configured."""
        return [PipelineRow(info, self.board.pipeline(info.name, info.aet)) for info in self.controls.pipelines()]

    def associations(self, limit: int = 60) -> list[AdvisedStory]:
        """Associations now and lately."""
        return [
            AdvisedStory(
                story,
                story.rejection if story.state == "refused" else "",
                advice.for_story(story),
                [AdvisedDeed(deed, deed.outcome, deed.bad, advice.for_deed(deed)) for deed in story.deeds],
            )
            for story in self.board.stories.latest(limit)
        ]

    def destinations(self) -> list[DestinationRow]:
        """Move Destinations with their last echo."""
        return [DestinationRow(one, *self._echoes.get(one.name, (None, None))) for one in self.controls.destinations()]

    def echo(self, name: str) -> Echo:
        """C-ECHO to a destination. Raises LookupError."""
        answer = self.controls.echo(name)
        known = {one.name for one in self.controls.destinations()}
        self._echoes = {one: echo for one, echo in self._echoes.items() if one in known}
        self._echoes[name] = (answer, self.clock())
        return answer

    def whose(self, letter_id: str, identity: Identity) -> Whose:
        """Patient and study of a dead letter; that somebody asked is logged. Raises LookupError."""
        told = self.controls.whose_dead_letter(letter_id)
        _LOGGER.info("%s was shown whose dead letter %s is", identity.name, letter_id)
        return told

    def configuration(self) -> Mapping[str, Any]:
        """The effective configuration without secrets."""
        return self.controls.configuration()

    def status(self) -> Status:
        """Everything at once."""
        controls = self.controls
        return Status(
            now=self.clock(),
            about=controls.about(),
            health=self.health(),
            totals=self.board.totals(),
            pipelines=self.pipelines(),
            requestors=self.board.callers(),
            transfers=self.board.running(),
            associations=self.associations(),
            errors=self.board.problems(),
            spool=controls.spool(),
            cache=controls.cache(),
            backends=controls.backends(),
            archives=controls.archives(),
            destinations=self.destinations(),
            workers=controls.workers(),
            log_level=controls.log_level(),
        )
