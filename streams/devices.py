"""Device profiles: what a type of device measures, how often, in which unit and range.

A profile is a TOML file. Those of `streams/profiles/` are shipped; a folder of your own is read beside them.
Knows nothing about bytes, windows or models.
"""

import tomllib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SHIPPED = Path(__file__).parent / "profiles"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class ProfileError(Exception):
    """A profile file that cannot be used; `file` and every `problems` line say what and where."""

    def __init__(self, file: Path, problems: list[str]) -> None:
        super().__init__(file, problems)
        self.file = file
        self.problems = problems

    def __str__(self) -> str:
        return f"{self.file}: " + "; ".join(self.problems)


class Channel(BaseModel):
    """One sensor channel, setting or state of a device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
    title: str
    """For people: `Downstream line pressure`."""
    unit: str
    """UCUM, case sensitive: `mm[Hg]`, `mL/h`, `Cel`; `1` for a pure number or an enumeration."""
    period_ms: Annotated[int, Field(gt=0)]
    """Nominal time between readings."""
    role: Literal["measured", "setting", "state", "counter"] = "measured"
    """A setting or state explains the others and is never named as a cause; a counter is read by its slope."""
    refid: str | None = None
    """IEEE 11073-10101 reference id, `MDC_PRESS_AWAY`."""
    mdc: Annotated[int, Field(gt=0)] | None = None
    """IEEE 11073-10101 code. A setting's code is the measurement's + 2**24."""
    low: float
    high: float
    """Physically plausible range; a reading outside is a broken reading, not a fault of the device."""
    combine: Literal["mean", "last", "max", "rms"] = "mean"
    """How several readings within one grid cell become one."""
    cyclic: bool = False
    """A waveform that repeats itself, as airway pressure does: its rhythm is watched, not its level."""

    @model_validator(mode="after")
    def _range(self) -> "Channel":
        if not self.low < self.high:
            raise ValueError(f"channel {self.name}: low {self.low} is not below high {self.high}")
        return self


class Movement(StrEnum):
    """How a fault moves a channel, against what settings and states let expect."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"
    """Up or down, as it happens: a drift of unknown sign."""
    RESTLESS = "restless"
    """Around its usual level, but shaking more."""
    STILL = "still"
    """Frozen, or swinging less than it should."""


class FaultSignature(BaseModel):
    """A fault that engineers know of this device type: how it shows, and what to do about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    """As in the simulator, where that can make it."""
    title: str
    """For people: `Downstream occlusion (clot, kink)`."""
    action: str
    """What the engineer does first, one sentence."""
    moves: dict[str, Movement] = Field(min_length=1)
    """Channel → how the fault moves it, most affected first."""
    steady: tuple[str, ...] = ()
    """Channels that stay as they are, which tells this fault from others that move the same channels."""


class DeviceProfile(BaseModel):
    """A device type: its channels and the grid on which they are watched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
    title: str
    grid_ms: Annotated[int, Field(gt=0)]
    """Length of one grid cell, the row of a window."""
    window_rows: Annotated[int, Field(ge=8, le=1024)]
    stride_rows: Annotated[int, Field(ge=1)]
    """A window is due every so many rows."""
    min_rows: Annotated[int, Field(ge=1)]
    """A new device is scored once it has this many rows (the rest of the window is mask)."""
    lateness_ms: Annotated[int, Field(ge=0)]
    """A sample this much older than the device's newest is still put in its place; older ones are counted late."""
    silent_after_ms: Annotated[int, Field(gt=0)]
    """Without a sample for this long the device is found silent."""
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=128)
    faults: tuple[FaultSignature, ...] = ()
    """Known faults; an alert ranks them as hypotheses."""

    @model_validator(mode="after")
    def _consistent(self) -> "DeviceProfile":
        names = [channel.name for channel in self.channels]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"channels named twice: {', '.join(doubled)}")
        if self.stride_rows > self.window_rows:
            raise ValueError("stride_rows is larger than window_rows, so samples would be skipped")
        if self.min_rows > self.window_rows:
            raise ValueError("min_rows is larger than window_rows")
        return self

    @model_validator(mode="after")
    def _faults(self) -> "DeviceProfile":
        known = [fault.name for fault in self.faults]
        doubled = sorted({name for name in known if known.count(name) > 1})
        if doubled:
            raise ValueError(f"faults named twice: {', '.join(doubled)}")
        blamed = {channel.name for channel in self.channels if channel.role in ("measured", "counter")}
        for fault in self.faults:
            strange = [name for name in (*fault.moves, *fault.steady) if name not in blamed]
            if strange:
                raise ValueError(
                    f"fault {fault.name} names {', '.join(strange)}: no measured channel or counter of this type"
                )
        return self

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Channel names in the order of the last axis of every array."""
        return tuple(channel.name for channel in self.channels)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Channel name → column."""
        return {name: column for column, name in enumerate(self.names)}


def load_profile(file: Path) -> DeviceProfile:
    """Read one TOML profile.

    Raises:
        ProfileError: with every problem of the file at once.
    """
    try:
        return DeviceProfile.model_validate(tomllib.loads(file.read_text("utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(file, [f"is not TOML: {error}"]) from None
    except OSError as error:
        raise ProfileError(file, [f"cannot be read: {error.strerror}"]) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'profile'}: {e['msg']}" for e in error.errors()]
        raise ProfileError(file, problems) from None


def load_profiles(folders: Iterable[Path] = ()) -> dict[str, DeviceProfile]:
    """The shipped profiles and those of `folders`, by device type; a later one replaces an earlier."""
    profiles = {}
    for folder in (SHIPPED, *folders):
        for file in sorted(folder.glob("*.toml")):
            profile = load_profile(file)
            profiles[profile.type] = profile
    return profiles
