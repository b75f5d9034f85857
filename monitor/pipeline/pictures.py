"""Windows worth a picture → explanations that wait, partition by partition, for the transaction that keeps them.

Knows no broker and no database. What waits is at most one explanation an open alert.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from monitor.due import Due
from monitor.explanations import Kept, keep
from monitor.findings import Sight
from monitor.inference import Inference
from streams.transport import TopicPartition


class View(NamedTuple):
    """A window worth a picture and where it came from."""

    partition: TopicPartition
    alert_id: UUID
    due: Due
    """The windows among which it was scored."""
    sight: Sight


class Pictures:
    """Explains views and remembers the newest of each alert until it is saved."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._waiting: dict[TopicPartition, dict[UUID, Kept]] = defaultdict(dict)

    async def take(self, views: Sequence[View]) -> None:
        """Explain these windows; those of types whose model explains nothing are passed over."""
        by_type: dict[str, list[View]] = defaultdict(list)
        for view in views:
            by_type[view.due.batch.profile.type].append(view)
        for kind, some in by_type.items():
            told = await self._inference.explain(
                kind, [view.due.leading_to(view.sight.place) for view in some]
            )
            if told is None:
                continue
            for b, (partition, key, (batch, *_), sight) in enumerate(some):
                values = batch.values[sight.place]
                kept = keep(key, batch.profile, sight.at_t, sight.anomaly, values, told, b)
                self._waiting[partition][key] = kept

    def waiting(self, partitions: Iterable[TopicPartition]) -> tuple[Kept, ...]:
        """Those of these partitions that are not saved."""
        return tuple(kept for p in partitions for kept in self._waiting.get(p, {}).values())

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """They are saved, or the partitions are another worker's now."""
        for partition in partitions:
            self._waiting.pop(partition, None)
