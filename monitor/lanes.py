"""All that one partition remembers: windows, judgements, what each device taught, silences and open alerts.

Knows no broker and no database. A lane is saved as one piece, together with the offset up to which it has read, so that
a restart goes on as if nothing had happened.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import TypeVar
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.scoring import ModelIdentity
from monitor.alerts import AlertBook, AlertEvent, DeviceInfo, LinkSettings, alert_id
from monitor.due import Answer, Due
from monitor.findings import (
    AdaptationSettings,
    Baseline,
    BaselineReason,
    Finding,
    Judge,
    JudgeSettings,
    Learning,
    Memories,
    Reason,
    Sight,
    Silence,
    SilenceSettings,
    SnapshotError,
    Standing,
    hindrance,
)
from monitor.maintenance import Applied, Maintenance
from monitor.turns import in_turns
from streams.blocks import SampleBlock, WindowBatch
from streams.devices import DeviceProfile
from streams.windows import SnapshotError as WindowSnapshotError
from streams.windows import WindowStore

STATE_VERSION = 1
NO_ADAPTATION = AdaptationSettings(bound=0)

Counts = dict[str, int]
_Reason = TypeVar("_Reason", bound=StrEnum)


class LaneStateError(Exception):
    """A saved lane that cannot be read."""


class LaneState(msgspec.Struct, frozen=True):
    """The saved form of a lane."""

    version: int
    stores: dict[str, bytes]
    judges: dict[str, bytes]
    silence: bytes
    book: bytes
    baselines: dict[str, bytes] = {}
    memories: dict[str, bytes] = {}


@dataclass(frozen=True)
class LaneRecipe:
    """What every lane is made from."""

    profiles: Mapping[str, DeviceProfile]
    models: Mapping[str, ModelIdentity]
    judges: Mapping[str, JudgeSettings]
    """Device type → when its anomalous windows become an alert: a threshold is fitted for one rule."""
    silence: SilenceSettings
    adaptation: Mapping[str, AdaptationSettings] = field(default_factory=dict)
    """Device type → how its devices' own biases are learned; none of a type that is not named."""
    memories: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Device type → (M,) which of the numbers that its scorer remembers of a device last, see `RememberingScorer`;
    nothing is remembered for a type that is not named."""
    links: LinkSettings = field(default_factory=LinkSettings)
    directory: Mapping[str, DeviceInfo] = field(default_factory=dict)
    """What the operator told of devices besides their ids."""

    def adaptation_of(self, kind: str) -> AdaptationSettings:
        return self.adaptation.get(kind, NO_ADAPTATION)

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
        self._baselines: dict[str, Baseline] = {}
        self._memories: dict[str, Memories] = {}
        self._serviced: dict[str, list[Maintenance]] = {}
        self.applied: list[Applied] = []
        """Maintenance that took effect and is not saved yet; whoever saves the lane saves this with it."""
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

    def turns(self, batches: Sequence[WindowBatch]) -> list[list[WindowBatch]]:
        """The same windows in turns; within one of them nothing that is known of a device changes, but what the scorer
        itself remembers of it from window to window.

        One turn as a rule. So the windows of a turn can be scored together, and a replay that was cut into other
        polls scores each window with what the device had learned by then, and with what its window before left.
        """
        remembering = [batch.profile.type in self._recipe.memories for batch in batches]
        return in_turns(batches, [self._moments(batch) for batch in batches], remembering)

    def _moments(self, batch: WindowBatch) -> NDArray[np.int64]:
        """(B,) a number that grows for a device where its baseline moves, or where a maintenance takes effect."""
        moments = self._baseline(batch.profile.type).steps(batch.end_t)
        if self._serviced:
            moments = moments * 64
            for place, device in enumerate(batch.devices):
                entries = self._serviced.get(device, ())
                moments[place] += sum(batch.end_t[place] > entry.effective_ms for entry in entries)
        return moments

    def begin(self, batch: WindowBatch) -> tuple[Due, list[AlertEvent]]:
        """Before a batch of a turn is scored: as it is to be scored, and what has to be told by now."""
        baseline = self._baseline(batch.profile.type)
        events = self._serve(batch) if self._serviced else []
        baseline.begin(batch.devices, batch.end_t)
        batch = baseline.since_service(batch)
        memories = self._memory(batch.profile.type)
        recalled = None if memories is None else memories.recall(batch)
        return Due(batch, baseline.biases(batch), recalled), events

    def judge(self, batch: WindowBatch, answer: Answer) -> list[AlertEvent]:
        """Take what was said of windows of this lane, as `begin` answered them; answer what has to be told."""
        kind, score = batch.profile.type, answer.score
        memories = self._memory(kind)
        if memories is not None and answer.memory is not None:
            memories.remember(batch, answer.memory)
        verdict = self._judge(kind).assess(batch, score)
        self._baseline(kind).learn(batch, score, verdict.calm, verdict.alarming)
        return self.tell(verdict.findings)

    def _judge(self, kind: str) -> Judge:
        judge = self._judges.get(kind)
        if judge is None:
            recipe = self._recipe
            judge = Judge(recipe.profiles[kind], recipe.models[kind], recipe.judges[kind])
            self._judges[kind] = judge
        return judge

    def _baseline(self, kind: str) -> Baseline:
        baseline = self._baselines.get(kind)
        if baseline is None:
            baseline = self._baselines[kind] = Baseline(
                self._recipe.profiles[kind], self._recipe.adaptation_of(kind)
            )
        return baseline

    def _memory(self, kind: str) -> Memories | None:
        """None where the scorer of that type remembers nothing."""
        lasting = self._recipe.memories.get(kind)
        if lasting is None:
            return None
        memories = self._memories.get(kind)
        if memories is None:
            recipe = self._recipe
            memories = Memories(recipe.profiles[kind], recipe.models[kind].digest, lasting)
            self._memories[kind] = memories
        return memories

    def hear(self, findings: Sequence[Finding]) -> list[AlertEvent]:
        """Take findings of the silence watch; devices that it forgets are forgotten by all of the lane."""
        events = self.tell(findings)
        for finding in findings:
            if finding.reason is Reason.FORGOTTEN:
                events += self._forget(finding.device, finding.device_type)
        return events

    def _forget(self, device: str, kind: str) -> list[AlertEvent]:
        """A fault that nobody will see the end of is told to have ended, and its device begins anew if it returns."""
        for known in (self._stores.get(kind), self._baselines.get(kind), self._memories.get(kind)):
            if known is not None:
                known.forget([device])
        judge = self._judges.get(kind)
        return self.tell(judge.forget([device])) if judge is not None else []

    # -- maintenance -----------------------------------------------------------------------------------

    def service(self, entries: Iterable[Maintenance]) -> None:
        """All maintenance that did not take effect yet, oldest first; other lanes' devices are left to them."""
        mine = self.device_types()
        self._serviced = {}
        for entry in entries:
            if entry.device in mine:
                self._serviced.setdefault(entry.device, []).append(entry)

    def serve_unjudged(self, now_ms: int) -> list[AlertEvent]:
        """Maintenance of devices without windows, silent ones or such without a model, takes effect by the clock."""
        if not self._serviced:
            return []
        silent, types = set(self.silence.silent()), self.device_types()
        events = []
        for device in list(self._serviced):
            if device in silent or types.get(device) not in self._recipe.models:
                events += self._serve_device(device, now_ms)
        return events

    def _serve(self, batch: WindowBatch) -> list[AlertEvent]:
        events = []
        for device, end_t in zip(batch.devices, batch.end_t.tolist(), strict=True):
            if device in self._serviced:
                events += self._serve_device(device, end_t - 1)
        return events

    def _serve_device(self, device: str, now_ms: int) -> list[AlertEvent]:
        due = [entry for entry in self._serviced[device] if entry.effective_ms <= now_ms]
        left = self._serviced[device][len(due) :]
        self._serviced[device] = left
        if not left:
            del self._serviced[device]
        return [event for entry in due for event in self._apply(entry)]

    def _apply(self, entry: Maintenance) -> list[AlertEvent]:
        kind = self.device_types()[entry.device]
        profile, since = self._recipe.profiles[kind], entry.effective_ms
        self._baseline(kind).renew(entry.device, since, rebaseline=entry.rebaseline)
        if kind in self._memories:
            self._memories[kind].renew(entry.device, rebaseline=entry.rebaseline)
        self.applied.append(Applied(entry.id, since))
        if kind not in self._recipe.models:
            return []
        enough_ms = profile.min_rows * profile.grid_ms
        return self.tell(self._judge(kind).serviced(entry.device, since, since + enough_ms))

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

    def learning(self) -> dict[str, Learning]:
        """Device → how far its own baseline is, where one is learned."""
        return {
            device: learning
            for kind, baseline in self._baselines.items()
            if kind in self._recipe.models
            for device, learning in baseline.learning().items()
        }

    def judges(self, kind: str) -> bool:
        """Whether there is a model of that device type."""
        return kind in self._recipe.models

    def hindrance(self, kind: str) -> BaselineReason | None:
        """Why no device of that type can have a baseline of its own; None where they can."""
        if kind not in self._recipe.adaptation:
            return BaselineReason.NOT_TAKEN
        return hindrance(self.profile(kind), self._recipe.adaptation[kind])

    def bias(self, device: str, kind: str) -> NDArray[np.float64]:
        """(C,) by how many spreads a device differs from its type in the mode that it is mostly in."""
        return self._baseline(kind).bias(device)

    def filled_rows(self) -> dict[str, int]:
        """Device → rows that it has sent since it was new, at most those of one window."""
        return {
            device: rows for store in self._stores.values() for device, rows in store.filled_rows().items()
        }

    def at_bound(self) -> dict[str, int]:
        """Device type → devices with a channel whose own bias is as large as it may be."""
        return {kind: baseline.at_bound() for kind, baseline in self._baselines.items()}

    def profile(self, kind: str) -> DeviceProfile:
        return self._recipe.profiles[kind]

    def device_types(self) -> dict[str, str]:
        """Every device known here → its type."""
        return {device: kind for kind, store in self._stores.items() for device in store.devices}

    def open_alerts(self) -> dict[str, str]:
        """Device → id of its alert that is not resolved."""
        return {alert.device.id: str(alert.id) for alert in self.book.open_alerts()}

    @property
    def bytes_per_device(self) -> float:
        """Memory of the windows and of the scorers, over the devices that have one."""
        devices = sum(len(store.devices) for store in self._stores.values())
        windows = sum(store.bytes_per_device * len(store.devices) for store in self._stores.values())
        remembered = sum(memories.bytes_per_device * len(memories) for memories in self._memories.values())
        return (windows + remembered) / max(devices, 1)

    def snapshot(self) -> bytes:
        """A copy of everything, for `Lane(recipe, epoch, saved)`."""
        return msgspec.msgpack.encode(
            LaneState(
                version=STATE_VERSION,
                stores={kind: store.snapshot() for kind, store in self._stores.items()},
                judges={kind: judge.snapshot() for kind, judge in self._judges.items()},
                silence=self.silence.snapshot(),
                book=self.book.snapshot(),
                baselines={kind: baseline.snapshot() for kind, baseline in self._baselines.items()},
                memories={kind: memories.snapshot() for kind, memories in self._memories.items()},
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
            self._baselines = {
                kind: Baseline.restore(recipe.profiles[kind], recipe.adaptation_of(kind), data)
                for kind, data in state.baselines.items()
                if kind in recipe.profiles
            }
            self._memories = {
                kind: Memories.restore(
                    recipe.profiles[kind], recipe.models[kind].digest, recipe.memories[kind], data
                )
                for kind, data in state.memories.items()
                if kind in recipe.profiles and kind in recipe.models and kind in recipe.memories
            }
            self.silence = Silence.restore(recipe.silent_after_ms(), recipe.silence, state.silence)
            self.book.restore(state.book)
        except (msgspec.MsgspecError, SnapshotError, WindowSnapshotError) as error:
            raise LaneStateError(str(error)) from None


def _counts(reasons: Mapping[_Reason, int]) -> Counts:
    return {reason.value: n for reason, n in reasons.items()}
