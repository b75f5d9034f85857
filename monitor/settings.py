"""What an operator can set: one TOML file, overridden by `ATTENDANT_…` variables. Read once, frozen.

Opens no socket. Every error of a file is reported at once, because an operator who mends one line a
restart gives up at the fifth.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from monitor.alerts import DeviceInfo, LinkSettings
from monitor.dispatch import DispatchSettings
from monitor.findings import AdaptationSettings, JudgeSettings, SilenceSettings
from monitor.notifiers.kafka_topic import KafkaAlertsSettings
from monitor.notifiers.webhook import WebhookSettings
from streams.kafka import KafkaConfig

ENVIRONMENT_PREFIX = "ATTENDANT_"
SHIPPED_MODELS = Path(__file__).parent.parent / "models" / "zoo"


class SettingsError(Exception):
    """Settings that cannot be used: `problems` holds every one, `where: what is wrong and how to mend it`."""

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__(f"{source}: {len(problems)} problem{'s' * (len(problems) != 1)}")
        self.source = source
        self.problems = problems


class Section(BaseModel):
    """Frozen, and strict about names: a mistyped setting must not be a setting without effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TelemetrySettings(Section):
    """Which topics carry what."""

    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "telemetry"
    rejected_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "telemetry.rejected"
    partitions: Annotated[int, Field(ge=1, le=1000)] = 6
    """Partitions of the topics that Attendant creates itself (`create_topics`)."""
    create_topics: bool = False


class DatabaseSettings(Section):
    """The outbox: `sqlite:///file.db` or `postgresql://user@host/name`."""

    url: SecretStr = SecretStr("sqlite:///attendant.db")
    checkpoint_interval_s: Annotated[float, Field(gt=0, le=300)] = 5.0
    """How often the state of the windows is saved; a restart reads so much telemetry again."""
    retention_days: Annotated[float, Field(gt=0)] = 400.0
    """Resolved alerts and their deliveries older than this are removed."""

    @field_validator("url")
    @classmethod
    def _driver(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("sqlite:///", "postgresql://")):
            raise ValueError("must start with sqlite:/// or postgresql://")
        return url


class ModelSettings(Section):
    """Where trained artifacts and device profiles lie; the shipped ones are always read."""

    folders: tuple[Path, ...] = ()
    profile_folders: tuple[Path, ...] = ()
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"

    @field_validator("folders", "profile_folders")
    @classmethod
    def _exist(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        missing = [str(folder) for folder in folders if not folder.is_dir()]
        if missing:
            raise ValueError(f"no such folder: {', '.join(missing)}")
        return folders


class WebSettings(Section):
    """The API, the metrics and the health endpoints."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    tokens: tuple[SecretStr, ...] = ()
    """Bearer tokens; with at least one, every `/api` route asks for it."""
    protect_operations: bool = False
    """Whether /metrics, /healthz and /readyz ask for it, too."""

    @field_validator("tokens")
    @classmethod
    def _long_enough(cls, tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(token.get_secret_value()) < 16 for token in tokens):
            raise ValueError("a token needs at least 16 characters")
        return tokens


class LogSettings(Section):
    """`json` for a log collector, `console` for people, `auto` by whether a terminal listens."""

    level: Annotated[str, Field(pattern=r"^(debug|info|warning|error)$")] = "info"
    format: Annotated[str, Field(pattern=r"^(auto|json|console)$")] = "auto"


class DeviceEntry(Section):
    """What only the hospital knows of a device."""

    title: str = ""
    udi: str | None = None
    location: str | None = None


class Settings(Section):
    """Everything that can be set."""

    kafka: KafkaConfig
    telemetry: TelemetrySettings = TelemetrySettings()
    database: DatabaseSettings = DatabaseSettings()
    models: ModelSettings = ModelSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    judge: JudgeSettings = JudgeSettings()
    silence: SilenceSettings = SilenceSettings()
    adaptation: AdaptationSettings = AdaptationSettings()
    links: LinkSettings = LinkSettings()
    dispatch: DispatchSettings = DispatchSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    kafka_alerts: KafkaAlertsSettings | None = None
    devices: dict[str, DeviceEntry] = {}
    """Device id → what an alert should say of it besides its id."""
    time_scale: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    """Device seconds a wall second: 1 except when a recording or a simulated fleet is played faster."""

    def secrets(self) -> tuple[str, ...]:
        """Every secret there is, so that logs can mask them wherever they turn up."""
        webhooks = [secret for webhook in self.webhooks for secret in (*webhook.secrets, webhook.url)]
        ours = [*self.web.tokens, self.database.url, *webhooks]
        return (*(secret.get_secret_value() for secret in ours), *self.kafka.secrets())

    def directory(self) -> dict[str, DeviceInfo]:
        """The devices told of, as alerts name them; their type comes with the telemetry."""
        return {
            device: DeviceInfo(id=device, type="", title=entry.title, udi=entry.udi, location=entry.location)
            for device, entry in self.devices.items()
        }

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [webhook.name for webhook in self.webhooks]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"webhooks named twice: {', '.join(doubled)}")
        if self.telemetry.topic == self.telemetry.rejected_topic:
            raise ValueError(
                "telemetry.topic and telemetry.rejected_topic are the same: rejects would be read again"
            )
        return self


def load_settings(file: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read `file` (TOML), put `ATTENDANT_SECTION__NAME` variables over it, and check all of it.

    Raises:
        SettingsError: with every problem at once.
    """
    source = str(file) if file else "environment"
    values = _read(file) if file else {}
    problems = _overlay(values, environment)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(source, problems + _readable(error)) from None
    if problems:
        raise SettingsError(source, problems)
    return settings


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(str(file), [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError(str(file), ["is not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(str(file), [f"is not TOML: {error}"]) from None


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Put variables into `values`; text that reads as a TOML value is one, so lists and numbers work."""
    problems = []
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        path = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        if path[0] not in Settings.model_fields:
            # ATTENDANT_TEST_… and the like belong to others; only names of sections are ours.
            continue
        at = values
        for part in path[:-1]:
            inner = at.setdefault(part, {})
            if not isinstance(inner, dict):
                problems.append(f"{variable}: {part} is no section in the file")
                break
            at = inner
        else:
            at[path[-1]] = _toml_value(environment[variable])
    return problems


def _toml_value(text: str) -> Any:
    if not text.startswith(("[", "{", '"')) and text not in ("true", "false"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _readable(error: ValidationError) -> list[str]:
    """One line a problem, without the offending value where it may be a secret."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"]) or "settings"
        what = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            what = "is no setting of ours; check the spelling"
        elif problem["type"] == "missing":
            what = "is needed and not set"
        lines.append(f"{where}: {what}")
    return lines
