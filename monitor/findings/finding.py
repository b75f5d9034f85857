"""The words of this package: findings, their evidence, the reasons of decisions, and the settings."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.scoring import EXPRESS_AT, ModelIdentity
from monitor.findings.hypotheses import Suspicion

if TYPE_CHECKING:
    from models.calibration import AlarmRule

SITE: Final = "*"
"""Stands for a device id where a finding concerns every device of the site."""
SITE_TYPE: Final = "site"
SILENCE: Final = ModelIdentity(name="silence", version="1", digest="")
"""Who speaks when a device is silent: a rule, no network."""


class Kind(StrEnum):
    """What is wrong."""

    FAULT = "fault"
    """A device behaves as its model does not expect."""
    SILENT = "silent"
    """A device sends nothing."""
    STREAM_SILENT = "stream-silent"
    """(Nearly) every device fell silent together: network, broker or gateway, not the devices."""
    DELIVERY = "delivery"
    """Alerts do not reach one of their targets."""


class Action(StrEnum):
    """What a finding does to its episode."""

    OPEN = "open"
    UPDATE = "update"
    RESOLVE = "resolve"


class Severity(StrEnum):
    """For engineers; no clinical alarm priority."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Reason(StrEnum):
    """Why a window, or a check for silence, led to what it led to. Also the metric label."""

    NORMAL = "normal"
    LEARNING = "learning"
    """The device is too new to be judged."""
    UNSCORED = "unscored"
    """The score is no number: says nothing, neither anomalous nor calm."""
    LATE = "late"
    """Ends before a window already judged; time does not run back."""
    DUPLICATE = "duplicate"
    """Ends with a window already judged."""
    ABOVE_ONCE = "above_once"
    """Anomalous windows were seen, fewer than k of the last n."""
    OPENED = "opened"
    OPENED_EXPRESS = "opened_express"
    """By few windows far above the threshold, before there were enough for `opened`."""
    HELD = "held"
    """The episode goes on, nothing new to say."""
    CALMING = "calming"
    """Below `hold_at`, but for fewer than m windows."""
    UPDATED = "updated"
    """The episode goes on and was last spoken of `update_every_s` ago."""
    TOP_CHANGED = "top_changed"
    """Another channel now carries most of the episode."""
    WORSENED = "worsened"
    CLEARED = "cleared"
    SILENT = "silent"
    BACK = "back"
    STREAM_SILENT = "stream_silent"
    STREAM_BACK = "stream_back"
    FORGOTTEN = "forgotten"
    """The device is no longer watched."""
    SERVICED = "serviced"
    """Somebody said that the device was serviced."""
    UNDELIVERED = "undelivered"
    """Alerts wait too long or were refused."""
    DELIVERED = "delivered"
    """Alerts that waited have arrived."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one channel says about an episode."""

    channel: str
    share: float
    """Part in the anomaly of the whole episode; the nameable channels sum to 1."""
    attention: float
    residual: float
    observed: float
    """In the channel's unit, at the strongest window so far; NaN without a reading."""
    expected: float
    direction: int
    """-1 lower, 0 as expected, +1 higher than expected."""
    since_t: int | None = None
    """When the channel began to deviate within this episode, ms; None where the model cannot tell."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One step of an episode. Times are ms since the epoch on the device's clock (silence: the stream's)."""

    kind: Kind
    action: Action
    reason: Reason
    severity: Severity
    device: str
    device_type: str
    started_t: int
    """Names the episode: the alert id is made of it."""
    at_t: int
    anomaly: float
    """Now; 1.0 is the threshold."""
    peak: float
    """Highest of the episode."""
    evidence: tuple[Evidence, ...]
    """Ranked, largest share first."""
    model: ModelIdentity
    suspicions: tuple[Suspicion, ...] = ()
    """Known faults that would explain all channels together, the most likely first."""
    count: int = 1
    """Devices concerned (or deliveries, where the kind is `delivery`)."""


class JudgeSettings(BaseModel):
    """k of n with hysteresis, and a lane for what is so far off that fewer windows do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: Annotated[int, Field(ge=1, le=64)] = 3
    """An episode opens when this many ..."""
    n: Annotated[int, Field(ge=1, le=64)] = 5
    """... of so many last windows are anomalous."""
    open_at: Annotated[float, Field(gt=0)] = 1.0
    """A window is anomalous from here; 1.0 is the calibrated threshold."""
    express_k: Annotated[int, Field(ge=1, le=64)] | None = None
    """An episode opens as well when this many ..."""
    express_n: Annotated[int, Field(ge=1, le=64)] | None = None
    """... of so many last windows reach `express_at`; left out: as the model was fitted, which may be never."""
    express_at: Annotated[float, Field(gt=0)] = EXPRESS_AT
    """From here few windows are enough, but never below `open_at`; 2.0 is what the model was fitted for."""
    hold_at: Annotated[float, Field(ge=0)] = 0.8
    """An open episode is held from here."""
    resolve_after: Annotated[int, Field(ge=1, le=10_000)] = 5
    """An episode ends after this many windows in a row below `hold_at`."""
    critical_at: Annotated[float, Field(gt=0)] = 3.0
    """A peak from here makes the alert critical."""
    update_every_s: Annotated[float, Field(gt=0)] = 300.0
    """While nothing new happens an open episode is spoken of at most this often."""
    top_margin: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Another channel is named first only when its share is larger by this; keeps near ties from flapping."""
    learn_windows: Annotated[int, Field(ge=0)] = 0
    """The first windows of a device never judged."""
    evidence_channels: Annotated[int, Field(ge=1, le=16)] = 5
    """Channels that a finding names at most."""

    def fitted_for(self, rule: "AlarmRule") -> "JudgeSettings":
        """With the rule that a model's threshold was fitted for, but for what the operator set.

        A k or n of the operator's own replaces the k of n of both lanes.
        """
        fitted: dict[str, float | None] = {}
        if not {"k", "n"} & self.model_fields_set:
            fitted = {"k": rule.k, "n": rule.n}
            if not {"express_k", "express_n"} & self.model_fields_set:
                fitted["express_k"] = rule.express.k if rule.express else None
                fitted["express_n"] = rule.express.n if rule.express else None
        if not {"open_at", "hold_at"} & self.model_fields_set:
            fitted["hold_at"] = rule.hold
        return self.model_copy(update=fitted)

    @model_validator(mode="after")
    def _consistent(self) -> "JudgeSettings":
        if self.k > self.n:
            raise ValueError(f"k ({self.k}) is larger than n ({self.n}): no episode could ever open")
        if self.hold_at >= self.open_at:
            raise ValueError(f"hold_at ({self.hold_at}) must be below open_at ({self.open_at})")
        if (self.express_k is None) != (self.express_n is None):
            raise ValueError("express_k and express_n go together; leave out both, or set both")
        if self.express_k is not None and self.express_n is not None and self.express_k > self.express_n:
            raise ValueError(
                f"express_k ({self.express_k}) is larger than express_n ({self.express_n}): it could never open"
            )
        return self


class SilenceSettings(BaseModel):
    """When missing data is a finding, and when it is the site's and not the devices'."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site_share: Annotated[float, Field(gt=0.5, le=1)] = 0.9
    """The site is silent when at least this share of the devices that were heard is."""
    site_devices: Annotated[int, Field(ge=2)] = 5
    """Fewer devices than this are never a site."""
    forget_after_s: Annotated[float, Field(gt=0)] = 30 * 86_400.0
    """A device silent for so long is no longer watched; its finding is resolved."""
