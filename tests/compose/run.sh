#!/bin/sh
# Builds the image, brings the compose stack up, sends a simulated fault and looks for its alert everywhere it must be.
# Needs a container engine, or root and dockerd (docker.io), docker-compose and debootstrap. Options: --help.
cd "$(dirname "$0")/../.." || exit 1
exec .venv/bin/python -m tests.compose.run "$@"
