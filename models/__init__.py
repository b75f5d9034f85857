"""Arrays → scores. Knows no Kafka, no alert and no device id."""
