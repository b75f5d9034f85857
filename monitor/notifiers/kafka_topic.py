"""Alerts as messages of a Kafka topic, for who reads them there. Knows the port `Sink`, not the client behind it."""

import asyncio
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from monitor.notifiers.base import Answer, Outcome
from monitor.outbox import Job
from streams.transport import Sink, TransportError


class KafkaAlertsSettings(BaseModel):
    """The topic for alerts, on the broker that telemetry comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)] = "kafka-alerts"
    """Names the target in the ledger, the API and the metrics."""
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=249)] = "alerts"
    timeout_s: Annotated[float, Field(ge=1, le=30)] = 15.0
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8


class KafkaTopicNotifier:
    """Key = device id, value = the webhook's bytes, headers = what the webhook's headers say (no signature)."""

    def __init__(self, settings: KafkaAlertsSettings, sink: Sink) -> None:
        """`sink` is started and stopped by its owner."""
        self.settings = settings
        self._sink = sink

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def concurrency(self) -> int:
        return self.settings.concurrency

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    async def start(self) -> None:
        """Nothing to do: the sink is shared."""

    async def stop(self) -> None:
        """Nothing to do: the sink is shared."""

    async def notify(self, job: Job, now_ms: int) -> Answer:  # noqa: ARG002 - the port's; a topic needs no timestamp
        """Send once; the broker has it (acks=all) when this answers `delivered`."""
        headers = [
            ("content-type", b"application/json"),
            ("id", job.event_id.encode()),
            ("type", job.type.encode()),
        ]
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._sink.send(
                    self.settings.topic, key=job.device.encode(), value=job.body, headers=headers
                )
        except TimeoutError:
            return Answer(Outcome.TIMEOUT, detail=f"no acknowledgement within {self.timeout_s:g} s")
        except TransportError as error:
            return Answer(Outcome.CONNECTION, detail=error.reason)
        return Answer(Outcome.DELIVERED)
