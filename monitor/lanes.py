"""All that one partition remembers: windows, judgements, silences and open alerts. Knows no broker and no database.

A lane is saved as one piece, together with the offset up to which it has read, so that a restart goes on as if nothing
had happened.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import TypeVar
from uuid import UUID

import msgspec

from models.scoring import ModelIdentity, Score
from monitor.alerts import AlertBook, AlertEvent, DeviceInfo, LinkSettings, alert_id
from monitor.findings import (
    Finding,
    Judge,
    JudgeSettings,
    Sight,
    Silence,
    SilenceSettings,
    SnapshotError,
    Standing,
)
from streams.blocks import SampleBlock, WindowBatch
from streams.devices import DeviceProfile
from streams.windows import SnapshotError as WindowSnapshotError
from streams.windows import WindowStore

STATE_VERSION = 1

Counts = dict[str, int]
Reason = TypeVar("Reason", bound=StrEnum)


class LaneStateError(Exception):
    """A saved lane that cannot be read."""


class LaneState(msgspec.Struct, frozen=True):
    """The saved form of a lane."""

    version: int
    stores: dict[str, bytes]
    judges: dict[str, bytes]
    silence: bytes
    book: bytes


@dataclass(frozen=True)
class LaneRecipe:
    """What every lane is made from."""

    profiles: Mapping[str, DeviceProfile]
    models: Mapping[str, ModelIdentity]
    judges: Mapping[str, JudgeSettings]
    """Device type → when its anomalous windows become an alert: a threshold is fitted for one rule."""
    silence: SilenceSettings
    links: LinkSettings = field(default_factory=LinkSettings)
    directory: Mapping[str, DeviceInfo] = field(default_factory=dict)
    """What the operator told of devices besides their ids."""

    def silent_after_ms(self) -> dict[str, int]:
        return {name: profile.silent_after_ms for name, profile in self.profiles.items()}


class Lane:
    """The memory of one partition."""

    def __init__(self, recipe: LaneRecipe, epoch: int, saved: bytes | None = None) -> None:
        """Begin anew, or go on from what `snapshot` made.

        Raises:
            LaneStateError: `saved` is damaged or of another version.
        """
        self.epoch = epoch
        self._recipe = recipe
        self._stores: dict[str, WindowStore] = {}
        self._judges: dict[str, Judge] = {}
        self.book = AlertBook(recipe.profiles, recipe.links, recipe.directory.get)
        if saved is None:
            self.silence = Silence(recipe.silent_after_ms(), recipe.silence)
        else:
            self._restore(saved)

    def push(self, block: SampleBlock, now_ms: int) -> list[WindowBatch]:
        """Take samples; answer the windows that came due."""
        profile = block.profile
        store = self._stores.get(profile.type)
        if store is None:
            store = self._stores[profile.type] = WindowStore(profile)
        self.silence.seen(block.devices, profile.type, now_ms)
        return store.push(block, now_ms)

    def judge(self, batch: WindowBatch, score: Score) -> list[AlertEvent]:
        """Take scores of windows of this lane; answer what has to be told."""
        kind = batch.profile.type
        judge = self._judges.get(kind)
        if judge is None:
            judge = self._judges[kind] = Judge(
                batch.profile, self._recipe.models[kind], self._recipe.judges[kind]
            )
        return self.tell(judge.judge(batch, score))

    def sights(self, kind: str) -> list[tuple[UUID, Sight]]:
        """Windows of the batch of that type judged last that are worth a picture, with the ids of their alerts."""
        judge, name = self._judges[kind], self._recipe.models[kind].name
        return [(alert_id(s.device, name, s.started_t), s) for s in judge.sights]

    def tell(self, findings: Sequence[Finding]) -> list[AlertEvent]:
        """Enter findings into the alert book."""
        return [event for event in map(self.book.apply, findings) if event is not None]

    def sample_outcomes(self) -> Iterator[tuple[str, Counts]]:
        """Device type → what became of its samples so far."""
        return ((kind, _counts(store.counts)) for kind, store in self._stores.items())

    def decisions(self) -> Iterator[tuple[str, Counts]]:
        """Who decided → the reasons of its decisions so far."""
        judges = ((kind, _counts(judge.reasons)) for kind, judge in self._judges.items())
        return chain(judges, [("silence", _counts(self.silence.reasons))])

    def standing(self) -> Iterator[tuple[str, Standing]]:
        """Device type and how a device of it stands, for every device that was scored."""
        return ((kind, standing) for kind, judge in self._judges.items() for standing in judge.standing())

    def device_types(self) -> dict[str, str]:
        """Every device known here → its type."""
        return {device: kind for kind, store in self._stores.items() for device in store.devices}

    def open_alerts(self) -> dict[str, str]:
        """Device → id of its alert that is not resolved."""
        return {alert.device.id: str(alert.id) for alert in self.book.open_alerts()}

    @property
    def bytes_per_device(self) -> float:
        """Memory of the windows, over the devices that have one."""
        devices = sum(len(store.devices) for store in self._stores.values())
        return sum(s.bytes_per_device * len(s.devices) for s in self._stores.values()) / max(devices, 1)

    def snapshot(self) -> bytes:
        """A copy of everything, for `Lane(recipe, epoch, saved)`."""
        return msgspec.msgpack.encode(
            LaneState(
                version=STATE_VERSION,
                stores={kind: store.snapshot() for kind, store in self._stores.items()},
                judges={kind: judge.snapshot() for kind, judge in self._judges.items()},
                silence=self.silence.snapshot(),
                book=self.book.snapshot(),
            )
        )

    def _restore(self, saved: bytes) -> None:
        recipe = self._recipe
        try:
            state = msgspec.msgpack.decode(saved, type=LaneState)
            if state.version != STATE_VERSION:
                raise LaneStateError(f"it is of version {state.version}, this program reads {STATE_VERSION}")
            self._stores = {
                kind: WindowStore.restore(recipe.profiles[kind], data)
                for kind, data in state.stores.items()
                if kind in recipe.profiles
            }
            self._judges = {
                kind: Judge.restore(recipe.profiles[kind], recipe.models[kind], recipe.judges[kind], data)
                for kind, data in state.judges.items()
                if kind in recipe.profiles and kind in recipe.models
            }
            self.silence = Silence.restore(recipe.silent_after_ms(), recipe.silence, state.silence)
            self.book.restore(state.book)
        except (msgspec.MsgspecError, SnapshotError, WindowSnapshotError) as error:
            raise LaneStateError(str(error)) from None


def _counts(reasons: Mapping[Reason, int]) -> Counts:
    return {reason.value: n for reason, n in reasons.items()}
