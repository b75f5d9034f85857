"""Whether a partition still moves. Knows no client: time and partitions come as arguments."""

from collections.abc import Iterable

from streams.transport import TopicPartition


class Watch:
    """When each partition last moved. Counts only the time in which somebody polled."""

    def __init__(self, stalled_after_s: float, now: float) -> None:
        self._stalled_after_s = stalled_after_s
        self._moved_at: dict[TopicPartition, float] = {}
        self._polled_at = now
        self.since = now
        self.rebuilt = False

    def restart(self, now: float) -> None:
        """Nothing can be said of the time before: an assignment changed, or nobody polled."""
        self._moved_at.clear()
        self.since = now

    def moved(self, tp: TopicPartition, now: float) -> None:
        """A message of the partition came."""
        self._moved_at[tp] = now
        self.rebuilt = False

    def idle(self, tp: TopicPartition, now: float) -> None:
        """Nothing came of the partition because nothing is there (or because nobody knows)."""
        self._moved_at[tp] = now

    def overdue(self, ready: Iterable[TopicPartition], now: float) -> set[TopicPartition]:
        """Partitions of which nothing came for too long."""
        gap, self._polled_at = now - self._polled_at, now
        if gap > self._stalled_after_s / 2:
            self.restart(now)
        limit = now - self._stalled_after_s
        return {tp for tp in ready if self._moved_at.setdefault(tp, self.since) < limit}
