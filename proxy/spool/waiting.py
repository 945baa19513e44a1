"""What the forwarder knows of a waiting instance without opening its file.

There may be a million of them: what many have in common is kept once.
"""

from dataclasses import dataclass
from sys import intern
from typing import Self

import orjson

from proxy.spool.envelope import Envelope
from proxy.spool.names import Name, parse_path


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting instance and all that routing needs. `size` is that of its file; `received_at` wall-clock time."""

    name: Name
    id: str
    size: int
    pipeline: str
    calling_aet: str
    sop_class_uid: str
    modality: str
    received_at: float

    @classmethod
    def of(cls, name: Name, envelope: Envelope, size: int) -> Self:
        """From an envelope."""
        return cls(
            name,
            envelope.id,
            size,
            intern(envelope.pipeline),
            intern(envelope.calling_aet),
            intern(envelope.sop_class_uid),
            intern(envelope.modality),
            envelope.received_at,
        )

    def encode(self) -> bytes:
        """One line, without newline."""
        facts = (self.id, self.size, self.pipeline, self.calling_aet, self.sop_class_uid, self.modality)
        return orjson.dumps([self.name.path, *facts, self.received_at])

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """What `encode` made. Raises ValueError."""
        try:
            path, instance_id, size, pipeline, calling_aet, sop_class_uid, modality, received_at = orjson.loads(line)
            name = parse_path(path)
            if name is None:
                raise ValueError("not the path of a spool file")
            name = name._replace(
                study_instance_uid=intern(name.study_instance_uid), series_instance_uid=intern(name.series_instance_uid)
            )
            shared = intern(pipeline), intern(calling_aet), intern(sop_class_uid), intern(modality)
            return cls(name, instance_id, size, *shared, received_at)
        except (TypeError, AttributeError) as error:
            raise ValueError("not a waiting instance") from error
