"""`attendant demo`: broker, devices, service and webhook receiver on this machine; then a report of what was found."""

import asyncio
import secrets
import signal
import tempfile
import time
from base64 import b64encode
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from monitor.app import Service, StartError, open_service
from monitor.clock import StreamClock
from monitor.findings import JudgeSettings
from monitor.logs import configure_logging
from monitor.notifiers.kafka_topic import KafkaAlertsSettings
from monitor.notifiers.webhook import WebhookSettings
from monitor.player import play
from monitor.receiver import Received, WebhookReceiver
from monitor.report import Json, false_rows, fault_rows, iso, match, told_alerts
from monitor.scenarios import RECORDING_TYPE, Scenario, ScenarioError, fleet, recorded
from monitor.settings import DatabaseSettings, Settings, TelemetrySettings, WebSettings
from streams.broker import EmbeddedBroker
from streams.devices import load_profiles
from streams.kafka import KafkaConfig, KafkaSink
from streams.transport import TransportError

FLEET_SPEED = 60.0
RECORDING_SPEED = 4.0
DEFAULT_DURATION_S = 900.0
DEVICES_PER_TYPE, FAULTS_PER_TYPE = 6, 3
SETTLE_S = 20.0
"""At the end the service may take so long to read, judge and deliver what was sent."""


class DemoError(Exception):
    """The demo cannot run here; one readable line that says how to mend it."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for on the command line."""

    duration_s: float | None = None
    seed: int = 0
    recording: str | None = None
    speed: float | None = None
    port: int = 8080


def run_demo(options: DemoOptions, console: Console | None = None) -> Json:
    """Run the demo to its end (or Ctrl-C) and answer with the report.

    Raises:
        DemoError: it could not start.
    """
    # The screen belongs to the demo; what goes wrong is still said.
    configure_logging("warning", "console")
    try:
        return asyncio.run(Demo(options, console or Console()).run())
    except (ScenarioError, StartError, TransportError) as error:
        raise DemoError(str(error)) from None


class Demo:
    """One run. `started` is when the command began, so that the first alert's time is the user's."""

    def __init__(self, options: DemoOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._started = time.monotonic()
        self._first_delivery_s: float | None = None
        self._sent = 0

    async def run(self) -> Json:
        """Everything up, play, settle, report."""
        self._console.print("[bold]Attendant[/] demo: starting broker, service and webhook receiver …")
        scenario, speed = await asyncio.to_thread(self._scenario)
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attendant-demo-")))
            broker = await stack.enter_async_context(EmbeddedBroker())
            clock = StreamClock.started_at(scenario.start_ms, speed)
            secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
            receiver = await stack.enter_async_context(
                WebhookReceiver(secret, clock.now_ms, on_received=self._on_received)
            )
            settings = _settings(broker.bootstrap_servers, folder, receiver, self._options.port, speed)
            service = await stack.enter_async_context(open_service(settings, clock))
            sink = KafkaSink(settings.kafka)
            await sink.start()
            stack.push_async_callback(sink.stop)
            return await self._play(scenario, speed, service, receiver, sink, clock)

    def _scenario(self) -> tuple[Scenario, float]:
        options = self._options
        now_ms = time.time_ns() // 1_000_000
        if options.recording is not None:
            profile = load_profiles()[RECORDING_TYPE]
            played = recorded(options.recording, now_ms, profile)
            speed = options.speed or RECORDING_SPEED
            # Device time ends now, so that no stamp lies in the future.
            return recorded(options.recording, 2 * now_ms - played.end_ms, profile), speed
        speed = options.speed or FLEET_SPEED
        duration_s = (options.duration_s or DEFAULT_DURATION_S) * speed
        start_ms = now_ms - round(duration_s * 1000)
        return fleet(options.seed, start_ms, duration_s, DEVICES_PER_TYPE, FAULTS_PER_TYPE), speed

    async def _play(
        self,
        scenario: Scenario,
        speed: float,
        service: Service,
        receiver: WebhookReceiver,
        sink: KafkaSink,
        clock: StreamClock,
    ) -> Json:
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        async with asyncio.TaskGroup() as tasks:
            leave = asyncio.Event()
            running = tasks.create_task(service.run(leave))
            await service.ready()
            clock.restart(scenario.start_ms)
            self._greet(scenario, speed, service, receiver)
            playing = tasks.create_task(
                play(sink, service.settings.telemetry.topic, scenario.messages, clock, self._on_sent)
            )
            stopped = tasks.create_task(stopping.wait())
            await asyncio.wait({playing, stopped, running}, return_when=asyncio.FIRST_COMPLETED)
            playing.cancel()
            stopped.cancel()
            await self._settle(service)
            report = self._report(scenario, clock, service, receiver)
            leave.set()
        self._print(report)
        return report

    async def _settle(self, service: Service) -> None:
        """Wait until all that was sent has been read, judged and delivered, within a bound."""
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            read = service.figure("attendant_messages_total", topic=service.settings.telemetry.topic)
            if read >= self._sent and not await service.undelivered():
                return
            await asyncio.sleep(0.2)

    # -- what is told ------------------------------------------------------------------------------

    def _on_sent(self, n: int) -> None:
        self._sent += n

    def _on_received(self, received: Received) -> None:
        elapsed = time.monotonic() - self._started
        if self._first_delivery_s is None:
            self._first_delivery_s = round(elapsed, 2)
        alert = received.alert
        word = received.type.rsplit(".", 1)[-1]
        style = {"opened": "bold red", "resolved": "green"}.get(word, "dim")
        self._console.print(
            f"[dim]{elapsed:6.1f} s[/]  [{style}]{word:9}[/] {escape(alert['summary'])}", highlight=False
        )

    def _greet(self, scenario: Scenario, speed: float, service: Service, receiver: WebhookReceiver) -> None:
        minutes = (scenario.end_ms - scenario.start_ms) / 60_000
        self._console.print(f"[bold]{scenario.title}[/], {minutes:.1f} device minutes at {speed:g}× speed")
        for name, where in (
            ("API", f"{service.url}/api/v1/alerts"),
            ("devices", f"{service.url}/api/v1/devices"),
            ("metrics", f"{service.url}/metrics"),
            ("webhooks go to", receiver.url),
        ):
            self._console.print(f"  {name:15}{where}", highlight=False)
        self._console.print(
            "Faults develop after some minutes of device time. Every line below is a webhook whose signature was "
            "verified. Ctrl-C ends.\n"
        )

    def _report(
        self, scenario: Scenario, clock: StreamClock, service: Service, receiver: WebhookReceiver
    ) -> Json:
        alerts = told_alerts(receiver.received)
        detected, false = match(scenario.faults, alerts, scenario.grace_ms)
        return {
            "seed": self._options.seed,
            "duration_s": round(time.monotonic() - self._started, 1),
            "devices": scenario.devices,
            "samples": service.figure("attendant_samples_total", outcome="accepted"),
            "windows": sum(service.figures("attendant_windows_scored_total", "type").values()),
            "rejected": service.figures("attendant_rejected_total", "reason"),
            "lookalikes": scenario.lookalikes,
            "first_delivery_s": self._first_delivery_s,
            "device_time": {
                "start": iso(scenario.start_ms),
                "end": iso(clock.now_ms()),
                "speed": clock.scale,
            },
            "signatures_refused": receiver.refused,
            "faults": fault_rows(scenario.faults, detected),
            "false_alerts": false_rows(false),
        }

    def _print(self, report: Json) -> None:
        end = report["device_time"]["end"]
        table = Table(title="Faults that were really there", title_justify="left", box=None, pad_edge=False)
        for heading in ("device", "fault", "truly affected", "ranked by Attendant", "found after"):
            table.add_column(heading)
        for row in report["faults"]:
            ranked = ", ".join(f"{r['channel']} {r['share']:.0%}" for r in row["ranked"][:3])
            after = _after(row, end)
            table.add_row(row["device"], row["fault"], ", ".join(row["channels"][:3]), ranked, after)
        self._console.print(table)
        begun = [row for row in report["faults"] if _has_begun(row, end)]
        found = sum(row["detected_at"] is not None for row in begun)
        self._console.print(
            f"{found} of {len(begun)} faults found, {len(report['false_alerts'])} false alerts, "
            f"{report['lookalikes']} look-alikes, {report['samples']} samples, {report['windows']} windows; "
            f"first alert delivered after {report['first_delivery_s']} s."
        )


def _has_begun(row: Json, end: str) -> bool:
    """A demo that is ended early has faults still to come."""
    return datetime.fromisoformat(row["onset"]) <= datetime.fromisoformat(end)


def _after(row: Json, end: str) -> str:
    if row["detected_at"] is None:
        return "[red]not found[/]" if _has_begun(row, end) else "had not begun"
    seconds = (
        datetime.fromisoformat(row["detected_at"]) - datetime.fromisoformat(row["onset"])
    ).total_seconds()
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _settings(bootstrap: str, folder: Path, receiver: WebhookReceiver, port: int, speed: float) -> Settings:
    return Settings(
        kafka=KafkaConfig.embedded(bootstrap),
        telemetry=TelemetrySettings(create_topics=True),
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{folder}/attendant.db")),
        web=WebSettings(port=port),
        webhooks=(
            WebhookSettings(
                name="work-orders",
                url=receiver.url,
                secrets=(SecretStr(receiver.secret),),
                allow=("127.0.0.0/8",),
            ),
        ),
        kafka_alerts=KafkaAlertsSettings(),
        # An open alert repeats itself at most every half hour of device time, which here is half a minute.
        judge=JudgeSettings(update_every_s=1800),
        time_scale=speed,
    )
