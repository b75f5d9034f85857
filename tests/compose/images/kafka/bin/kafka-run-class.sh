#!/bin/sh
# Runs a class of Kafka: kafka-run-class.sh CLASS ARGUMENTS…
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} -XX:TieredStopAtLevel=1 -Djava.awt.headless=true \
  -Dlog4j2.configurationFile="${KAFKA_LOG4J_FILE:-/etc/kafka/docker/tools-log4j2.yaml}" \
  -cp '/opt/kafka/libs/*' "$@"
