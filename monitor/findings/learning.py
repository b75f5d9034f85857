"""How far a device's own baseline is, and what keeps it from being settled. Pure; knows no window and no score."""

from enum import StrEnum
from typing import NamedTuple


class BaselineReason(StrEnum):
    """Why a device has no settled baseline of its own that counts."""

    NOT_TAKEN = "its type's model takes none"
    """It cannot be told of one, or remembers for itself what is usual for a device."""
    SWITCHED_OFF = "adaptation is switched off"
    NO_LEVEL = "no channel whose level can be learned"
    LEARNING = "still learning"
    SELDOM_CALM = "seldom calm"
    """Suspicious, in an episode, or shortly before or after either."""
    SELDOM_AT_HOME = "seldom in one mode"
    OFTEN_INTERRUPTED = "often interrupted"
    """By silences, so that nobody knows what the windows before were the beginning of."""
    AS_ITS_TYPE = "no channel stays off its type's level"
    """Settled, and found to be like its type."""


class Missed(NamedTuple):
    """Windows that were judged and taught nothing."""

    not_calm: int
    """Or within the holding time after one that was not, or taken back by one."""
    elsewhere: int
    """Calm, but not in the device's usual mode."""
    interrupted: int
    """Taken back by a silence or a maintenance."""

    def chiefly(self) -> BaselineReason:
        """What cost most of them."""
        reasons = (
            BaselineReason.SELDOM_CALM,
            BaselineReason.SELDOM_AT_HOME,
            BaselineReason.OFTEN_INTERRUPTED,
        )
        return max(zip(self, reasons, strict=True), key=lambda one: one[0])[1]


class Learning(NamedTuple):
    """How far a device's own baseline is."""

    renewed: bool
    """Begun anew by a maintenance event."""
    learned: int
    """Windows that teach: full, clearly normal, and in the mode that the device is mostly in ..."""
    applied: int
    """... and of these the ones that count already."""
    wanted: int
    """Windows after which it is settled."""
    missed: Missed
    differs: bool
    """It counts: by what it has learned so far the device differs from its type in a channel."""
    until_t: int | None
    """When it will be settled if windows teach as often as so far; None where more of them were missed."""

    @property
    def settled(self) -> bool:
        return self.applied >= self.wanted

    @property
    def going_on(self) -> bool:
        """Not settled, and fewer windows were missed than a device that always teaches needs to be settled.

        So it ends for every device, at the latest when it was judged for twice that time. What teaches afterwards is
        learned all the same.
        """
        return not self.settled and sum(self.missed) < self.wanted

    @property
    def progress(self) -> float:
        """0 to 1, and 1 only where it is settled."""
        return min(self.applied * 1000 // self.wanted, 1000) / 1000

    @property
    def reason(self) -> BaselineReason | None:
        """What keeps the device from being judged with a settled baseline of its own; None where it is."""
        if self.settled:
            return None if self.differs else BaselineReason.AS_ITS_TYPE
        return BaselineReason.LEARNING if self.going_on else self.missed.chiefly()
