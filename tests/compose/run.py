"""`make compose-test`: from the Dockerfile to an alert at the other end, in containers.

Everything but Grafana runs, which has no stand-in where images cannot be pulled. Prints what was run and what was seen;
exits 1 with the services' logs when something was not.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.compose.checks import CHECKS, FAULT_SETTINGS
from tests.compose.engine import Engine, EngineError, container_engine
from tests.compose.images import ROOT, Provided, build, provide
from tests.compose.stack import BrokenError, CheckError, Stack, compose_stack

CACHE = ROOT / ".cache" / "compose"
TAG = "compose-test"
SERVICES = ("kafka", "topics", "postgres", "attendant", "prometheus", "alertmanager", "receiver", "devices")


def main() -> int:
    """Run it all; the exit status."""
    parser = argparse.ArgumentParser(prog="make compose-test", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=CACHE, help="where images are kept for the next time")
    parser.add_argument(
        "--hold", action="store_true", help="when all was seen, keep the stack up until Enter"
    )
    options = parser.parse_args()
    try:
        with container_engine(options.cache) as engine:
            return _test(engine, options.cache, options.hold)
    except (EngineError, CheckError) as error:
        print(f"\ncompose-test: {error}", file=sys.stderr)
        return 1


def _test(engine: Engine, cache: Path, hold: bool) -> int:
    version = engine.docker("version", "--format", "{{.Server.Version}}").strip()
    storage = engine.docker("info", "--format", "{{.Driver}}").strip()
    print(f"engine    {version}, {storage}, {'started for this test' if engine.ours else 'was running'}")
    with _step("images"):
        images = provide(engine, cache)
    for image in images:
        print(
            f"          {image.name:27} {'official' if image.stand_in is None else f'stand-in: {image.stand_in}'}"
        )
    with _step("build"):
        build_attendant(engine)
    size = int(engine.docker("image", "inspect", "--format", "{{.Size}}", f"attendant:{TAG}"))
    print(f"          attendant:{TAG}, {size / 1e9:.2f} GB, from the Dockerfile")
    with (
        tempfile.TemporaryDirectory(prefix="attendant-stack-") as folder,
        compose_stack(engine, TAG, FAULT_SETTINGS, Path(folder)) as stack,
    ):
        failed = _check(stack)
        if hold and not failed:
            input(f"Ports: {stack.ports}. Enter takes the stack down. ")
    _verdict(images, failed)
    return 1 if failed else 0


def build_attendant(engine: Engine) -> None:
    """The image of the Dockerfile. Its first stages get names, so that clearing up leaves their layers."""
    for stage in ("dependencies", "application"):
        build(engine, f"attendant-build:{stage}", ROOT, "--target", stage)
    build(engine, f"attendant:{TAG}", ROOT)
    if engine.ours:
        # A build that failed leaves its container, and that its image.
        engine.docker("container", "prune", "--force")
        engine.docker("image", "prune", "--force")


def _check(stack: Stack) -> int:
    """Bring it up, run the checks in order; the first that fails ends it, because the later ones build on it."""
    for name, check in [("up", _up), *CHECKS]:
        began = time.monotonic()
        try:
            seen = check(stack)
        except (CheckError, BrokenError, EngineError) as error:
            print(f"FAILED    {name}: {error}", flush=True)
            _show_logs(stack)
            return 1
        print(f"seen      {name}: {seen} ({time.monotonic() - began:.0f} s)", flush=True)
    return 0


def _up(stack: Stack) -> str:
    stack.compose("up", "--detach", "--no-build", *SERVICES, timeout_s=900)
    return f"{len(SERVICES)} services"


def _show_logs(stack: Stack) -> None:
    for service in SERVICES:
        with contextlib.suppress(CheckError, EngineError):
            print(f"--- {service}\n{stack.compose('logs', '--no-color', '--tail', '40', service)}")


def _verdict(images: list[Provided], failed: int) -> None:
    made = sum(image.stand_in is not None for image in images)
    print(
        f"\n{'FAILED' if failed else 'passed'}: {len(CHECKS)} checks; "
        f"{made} of {len(images)} public images were stand-ins."
    )
    print(
        "Not run: Grafana (its dashboards' queries are run against a real Prometheus by tests/dashboards), a GPU."
    )


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"{name:10}…", flush=True)
    yield
    print(f"{name:10}{time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
