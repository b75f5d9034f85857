"""Logs: one JSON object a line, no secret in it, no flood of repeats."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from monitor.logs import RepeatLimiter, configure_logging


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_own_and_library_loggers_write_the_same_json() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    structlog.get_logger("monitor.pipeline").info("partition restored", partition=3, offset=881)
    logging.getLogger("aiokafka.conn").warning("Unable to connect to %s", "kafka:9092")

    ours, theirs = lines(out)
    assert list(ours) == ["timestamp", "level", "logger", "message", "partition", "offset"]
    assert (ours["level"], ours["logger"], ours["offset"]) == ("info", "monitor.pipeline", 881)
    assert (theirs["level"], theirs["message"]) == ("warning", "Unable to connect to kafka:9092")
    assert theirs["timestamp"].endswith("Z")


def test_level_holds_for_both_kinds_of_logger() -> None:
    out = io.StringIO()
    configure_logging("warning", stream=out)
    structlog.get_logger("monitor").info("not wanted")
    logging.getLogger("uvicorn").info("not wanted")
    structlog.get_logger("monitor").error("wanted")
    assert [line["message"] for line in lines(out)] == ["wanted"]


def test_secrets_are_masked_by_key_in_urls_headers_and_wherever_known() -> None:
    out = io.StringIO()
    configure_logging(stream=out, secrets=["hunter2-hunter2"])
    structlog.get_logger().info(
        "connecting with hunter2-hunter2",
        database="postgresql+asyncpg://attendant:s3cret@db:5432/attendant",
        request={"Authorization": "Bearer abcdefghijklmnop", "tries": [1, "Bearer abcdefghijklmnop"]},
        sasl_plain_password="s3cret",
        hook="https://ops.example/hook?token=s3cret&site=1",
        key="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        body=b"hunter2-hunter2",
    )
    text = out.getvalue()
    for secret in ("hunter2", "s3cret", "abcdefghijklmnop", "C2FVsBQ"):
        assert secret not in text
    line = lines(out)[0]
    assert line["database"] == "postgresql+asyncpg://attendant:***@db:5432/attendant"
    assert line["hook"] == "https://ops.example/hook?token=***&site=1"
    assert line["request"]["tries"] == [1, "Bearer ***"]


def test_traceback_of_a_library_is_masked_too() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    lost = ConnectionError("cannot reach redis://user:s3cret@cache:6379")
    logging.getLogger("some.driver").error("lost the connection", exc_info=lost)
    line = lines(out)[0]
    assert "ConnectionError: cannot reach redis://user:***@cache:6379" in line["exception"]
    assert "s3cret" not in out.getvalue()


def test_request_id_of_the_context_is_in_every_line() -> None:
    out = io.StringIO()
    configure_logging(stream=out)
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger().info("ours")
        logging.getLogger("library").warning("theirs")
    structlog.get_logger().info("after")
    assert [line.get("request_id") for line in lines(out)] == ["r-1", "r-1", None]


def test_repeats_of_a_noisy_library_are_held_back_and_counted() -> None:
    out, clock = io.StringIO(), Clock()
    configure_logging(stream=out, repeats=RepeatLimiter({"aiokafka": 30.0}, clock))
    noisy, other = logging.getLogger("aiokafka.client"), logging.getLogger("sqlalchemy")
    for attempt in range(100):
        noisy.error("Unable to connect to node %d", attempt)
        clock.now += 0.05
    noisy.error("Topic is missing")
    other.warning("twice")
    other.warning("twice")
    clock.now = 30.0
    noisy.error("Unable to connect to node %d", 100)

    got = [(line["message"], line.get("repeated")) for line in lines(out)]
    assert got == [
        ("Unable to connect to node 0", None),
        ("Topic is missing", None),
        ("twice", None),
        ("twice", None),
        ("Unable to connect to node 100", 99),
    ]


def test_repeat_limiter_remembers_no_more_than_it_may() -> None:
    limiter = RepeatLimiter({"a": 10.0}, Clock(), remember=3)
    record = logging.LogRecord("a", logging.ERROR, __file__, 1, "", None, None)
    for text in ("1", "2", "3", "4"):
        record.msg = text
        assert limiter.filter(record)
    passes = {}
    for text in ("4", "3", "2", "1"):
        record.msg = text
        passes[text] = limiter.filter(record)
    assert passes == {"4": False, "3": False, "2": False, "1": True}


@pytest.mark.parametrize(
    ("form", "terminal", "is_json"),
    [("auto", False, True), ("auto", True, False), ("json", True, True), ("console", False, False)],
)
def test_form_follows_the_setting_and_the_terminal(form: str, terminal: bool, is_json: bool) -> None:
    out = Terminal() if terminal else io.StringIO()
    configure_logging(form=form, stream=out)
    structlog.get_logger().info("up")
    assert out.getvalue().startswith("{") is is_json


def test_escape_sequences_of_a_device_do_nothing_on_a_screen() -> None:
    out = io.StringIO()
    configure_logging(form="console", stream=out)
    structlog.get_logger().warning(
        "unknown device \x1b[2J\nforged line", device="SN\x1b]0;owned\x07\nforged line"
    )
    assert "\x1b" not in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert len(out.getvalue().splitlines()) == 1
