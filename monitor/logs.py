"""Structured logs: JSON for a collector, coloured lines for a terminal; secrets never, repeats rarely.

Everything goes one way: our own loggers (structlog) and those of the libraries (stdlib logging) pass the same
processors, so a password in a traceback of a driver is masked as well. Knows nothing of what is logged.
"""

import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "***"

# `next_token` of a page is no secret worth hiding, but hiding one too many harms nobody.
SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|secret|token|authori[sz]ation|api_?key|cookie|credential", re.IGNORECASE
)
SECRET_TEXT = (
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s@]+@", re.IGNORECASE), rf"\g<keep>:{MASK}@"),
    (re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<keep>{MASK}"),
    (re.compile(r"(?P<keep>whsec_)[A-Za-z0-9+/=_-]+"), rf"\g<keep>{MASK}"),
    (
        re.compile(r"(?P<keep>[?&](?:token|key|secret|signature|sig|password)=)[^&\s]+", re.IGNORECASE),
        rf"\g<keep>{MASK}",
    ),
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

REPEATING = {"aiokafka": 30.0, "asyncio": 10.0}
"""Loggers (with those below them) that repeat themselves, and after how many seconds they may."""


class LogFormat(StrEnum):
    """How a line looks."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class RepeatLimiter(logging.Filter):
    """Lets the same message of the same logger through once in a while; the next one says how many it held.

    A broker that is down makes aiokafka print two lines every 50 ms. "The same" is the message before its
    arguments are put in, so a changing port or offset does not make it new.

    Args:
        every_s: logger name → seconds between two of the same; loggers not below one of these pass.
        clock: monotonic seconds.
        remember: distinct messages kept; the longest unseen are forgotten first.
    """

    def __init__(
        self,
        every_s: Mapping[str, float] = REPEATING,
        clock: Callable[[], float] = time.monotonic,
        remember: int = 512,
    ) -> None:
        super().__init__()
        self._every_s = dict(every_s)
        self._clock = clock
        self._remember = remember
        self._seen: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a repeat; sets `record.repeated` on one that comes through after others were held."""
        every_s = self._interval(record.name)
        if every_s is None:
            return True
        key = (record.name, record.levelno, str(record.msg))
        now = self._clock()
        shown_at, held = self._seen.pop(key, (float("-inf"), 0))
        if now - shown_at < every_s:
            self._seen[key] = (shown_at, held + 1)
            return False
        self._seen[key] = (now, 0)
        while len(self._seen) > self._remember:
            self._seen.popitem(last=False)
        if held:
            record.repeated = held
        return True

    def _interval(self, name: str) -> float | None:
        while name:
            if name in self._every_s:
                return self._every_s[name]
            name = name.rpartition(".")[0]
        return None


class Redact:
    """Masks values under secret-sounding keys, credentials in URLs and headers, and the known `secrets`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one secret may be part of another.
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        masked = self._mapping(event)
        event.clear()
        event.update(masked)
        return event

    def text(self, text: str) -> str:
        """`text` with every secret in it masked."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        for pattern, replacement in SECRET_TEXT:
            text = pattern.sub(replacement, text)
        return text

    def _mapping(self, values: Mapping[Any, Any]) -> dict[Any, Any]:
        return {
            key: MASK if isinstance(key, str) and SECRET_KEY.search(key) else self._value(value)
            for key, value in values.items()
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(item) for item in value]
        if isinstance(value, bytes | bytearray):
            return self.text(bytes(value).decode("utf-8", "replace"))
        return self.text(str(value))


def configure_logging(
    level: str = "info",
    form: str = LogFormat.AUTO,
    *,
    stream: TextIO | None = None,
    secrets: Iterable[str] = (),
    repeats: RepeatLimiter | None = None,
) -> None:
    """Send all logs of the process to `stream` (default: stderr), and nothing anywhere else.

    Args:
        level: debug, info, warning or error.
        form: see `LogFormat`; `auto` is console on a terminal and JSON elsewhere.
        stream: where lines go.
        secrets: texts to mask wherever they occur (the secrets of the settings).
        repeats: holds back what libraries repeat.
    """
    out = sys.stderr if stream is None else stream
    console = form == LogFormat.CONSOLE or (form == LogFormat.AUTO and out.isatty())
    shared = _shared(Redact(secrets))
    handler = logging.StreamHandler(out)
    handler.addFilter(repeats or RepeatLimiter())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(["repeated"]), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_ending(console, out)],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _shared(redact: Redact) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # The traceback becomes text before redaction, because that is where drivers put their passwords.
        structlog.processors.format_exc_info,
        redact,
    ]


def _ending(console: bool, out: TextIO) -> list[Processor]:
    if console:
        return [_inert, structlog.dev.ConsoleRenderer(colors=out.isatty())]
    return [
        structlog.processors.EventRenamer("message"),
        _ordered,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def _ordered(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The fields that every line has come first, in the same order."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "logger", "message") if key in event}
    return {**first, **event}


def _inert(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A device may call itself by terminal escapes or line breaks; on a screen they must do nothing."""
    return {
        key: _escape(value, keep="\n\t" if key in ("exception", "stack") else "")
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _escape(text: str, keep: str) -> str:
    return CONTROL.sub(lambda match: match[0] if match[0] in keep else f"\\x{ord(match[0]):02x}", text)
