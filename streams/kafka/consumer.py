"""The consumer of aiokafka: how it is set up, told apart when abandoned, and put down."""

from collections.abc import Awaitable, Callable, Iterable

import aiokafka
from aiokafka import AIOKafkaConsumer, errors
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from streams.kafka.client import client_arguments
from streams.kafka.config import KafkaConfig
from streams.transport import TopicPartition


def new_consumer(config: KafkaConfig) -> AIOKafkaConsumer:
    arguments = client_arguments(config)
    # A request to join is answered when the slowest member has saved its state.
    arguments["request_timeout_ms"] = max(arguments["request_timeout_ms"], config.rebalance_timeout_ms + 5000)
    return AIOKafkaConsumer(
        **arguments,
        group_id=config.group,
        # Offsets are committed by us, after the database has their effects.
        enable_auto_commit=False,
        # "latest" would jump over messages silently, "earliest" would repeat them silently.
        auto_offset_reset="none",
        # The sticky assignor of aiokafka shares state between consumers and stalls.
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        fetch_max_wait_ms=config.fetch_max_wait_ms,
        max_poll_records=config.max_poll_records,
        session_timeout_ms=config.session_timeout_ms,
        heartbeat_interval_ms=config.session_timeout_ms // 10,
        # Its default is the session timeout, too short for a member that saves its state first.
        rebalance_timeout_ms=config.rebalance_timeout_ms,
        max_poll_interval_ms=config.max_poll_interval_ms,
    )


def theirs(tp: TopicPartition) -> aiokafka.TopicPartition:
    return aiokafka.TopicPartition(*tp)


def is_forbidden(error: BaseException | None) -> bool:
    """Whether an administrator has to act; everything else is worth another attempt."""
    return isinstance(
        error,
        errors.TopicAuthorizationFailedError
        | errors.GroupAuthorizationFailedError
        | errors.ClusterAuthorizationFailedError,
    )


async def put_down(consumer: AIOKafkaConsumer) -> None:
    """End what a stop that failed left running; it would knock at the dead broker for ever.

    A stop fails, for instance, when a fetch waits for its next attempt. aiokafka has no other way than this.
    """
    coordinator, fetcher, client = consumer._coordinator, consumer._fetcher, consumer._client  # noqa: SLF001
    names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
    tasks = [getattr(coordinator, name, None) for name in names]
    tasks += [getattr(fetcher, "_fetch_task", None), *getattr(fetcher, "_pending_tasks", ())]
    for task in tasks:
        if task is not None:
            task.cancel()
    await client.close()


class Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """What aiokafka calls in a rebalance; hands on which consumer it is, so that an abandoned one is known."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        assigned: Callable[[AIOKafkaConsumer, list[TopicPartition]], Awaitable[None]],
        revoked: Callable[[AIOKafkaConsumer], Awaitable[None]],
    ) -> None:
        self._consumer = consumer
        self._assigned = assigned
        self._revoked = revoked

    async def on_partitions_assigned(self, assigned: Iterable[aiokafka.TopicPartition]) -> None:
        # First of all, before any await: else records come out of getmany while we still restore.
        self._consumer.pause(*assigned)
        await self._assigned(self._consumer, [TopicPartition(*tp) for tp in sorted(assigned)])

    async def on_partitions_revoked(self, _revoked: Iterable[aiokafka.TopicPartition]) -> None:
        await self._revoked(self._consumer)
