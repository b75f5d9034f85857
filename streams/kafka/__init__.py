"""Apache Kafka behind `streams.transport`, by aiokafka; nothing else of Attendant imports that.

What stands here exists mostly because of what aiokafka 0.14 does by itself: it hands out records while the
assignment is still being restored, swallows what a rebalance callback raises, jumps silently to another offset,
and waits for ever on a broker that is gone. Knows nothing about telemetry.
"""

from streams.kafka.config import Compression, KafkaConfig, SaslMechanism, SecurityProtocol
from streams.kafka.offsets import DataLoss, LossCause
from streams.kafka.sink import KafkaSink
from streams.kafka.source import KafkaSource
from streams.kafka.topics import ensure_topics

__all__ = [
    "Compression",
    "DataLoss",
    "KafkaConfig",
    "KafkaSink",
    "KafkaSource",
    "LossCause",
    "SaslMechanism",
    "SecurityProtocol",
    "ensure_topics",
]
