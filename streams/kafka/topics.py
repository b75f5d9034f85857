"""Creating topics. The service itself needs none of this where an administrator has made them."""

from collections.abc import Mapping

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.kafka.client import client_arguments, explained, within
from streams.kafka.config import KafkaConfig
from streams.transport import TransportError


async def ensure_topics(config: KafkaConfig, partitions: Mapping[str, int]) -> None:
    """Create the topics that are missing, each with so many partitions.

    Existing ones are left as they are: more partitions would send a device's samples to another one.

    Raises:
        TransportError: the cluster cannot be reached or refuses.
    """
    admin = AIOKafkaAdminClient(**client_arguments(config))
    try:
        try:
            await within(config, config.connect_timeout_s, "let us in", admin.start())
        except TransportError as error:
            raise await explained(config, error) from error
        copies = config.replication_factor
        if copies is None:
            cluster = admin.describe_cluster()
            brokers = (await within(config, config.connect_timeout_s, "tell its brokers", cluster))["brokers"]
            copies = min(3, len(brokers))
        new = [NewTopic(name, count, copies) for name, count in partitions.items()]
        answer = await within(config, config.connect_timeout_s, "create topics", admin.create_topics(new))
    finally:
        await within(config, config.stop_timeout_s, "close", admin.close())
    for name, code, *detail in answer.topic_errors:
        error_type = errors.for_code(code)
        if error_type not in (errors.NoError, errors.TopicAlreadyExistsError):
            said = detail[0] if detail and detail[0] else error_type.description
            raise TransportError(f"Kafka refuses to create topic {name}: {said}")
