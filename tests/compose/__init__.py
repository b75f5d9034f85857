"""The container build and the compose stack, run for real: `make compose-test`."""
