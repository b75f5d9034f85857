"""The OpenAPI document is true: generated requests, right and wrong ones, are answered as it says."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from monitor.findings import BaselineReason
from monitor.fleet import BaselineSource, BaselineState, DeviceState, DeviceStatus
from tests.monitor.faces import NOW, episode, face, keep


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a face with alerts and devices, in a thread: the generated requests block."""
    up = threading.Event()
    urls: list[str] = []
    folder = tmp_path_factory.mktemp("face")
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def run() -> None:
        async with face(folder) as running:
            await keep(running.outbox, *(episode(f"SN-{n}", first=n, cleared=n % 2 == 0) for n in range(4)))
            running.fleet.states = [
                DeviceState("SN-1", "infusion-pump", DeviceStatus.ALARMING, NOW, 2.5, "x"),
                DeviceState(
                    "SN-2",
                    "infusion-pump",
                    DeviceStatus.NORMAL,
                    NOW,
                    baseline=BaselineState(BaselineSource.TYPE, BaselineReason.SELDOM_CALM),
                ),
            ]
            urls.append(running.url)
            up.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="face")
    thread.start()
    assert up.wait(30)
    yield urls[0]
    loop.call_soon_threadsafe(done.set)
    thread.join(30)
    loop.close()


@pytest.fixture(scope="module")
def api(address: str) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")


ROUTES = (
    "GET /metrics",
    "GET /healthz",
    "GET /readyz",
    "GET /api/v1/alerts",
    "GET /api/v1/alerts/{alert_id}",
    "GET /api/v1/alerts/{alert_id}/deliveries",
    "GET /api/v1/alerts/{alert_id}/explanation",
    "POST /api/v1/alerts/{alert_id}/acknowledge",
    "GET /api/v1/deliveries",
    "POST /api/v1/deliveries/{delivery_id}/replay",
    "POST /api/v1/deliveries/{delivery_id}/discard",
    "GET /api/v1/devices",
    "GET /api/v1/devices/{device_id}",
    "GET /api/v1/devices/{device_id}/maintenance",
    "POST /api/v1/devices/{device_id}/maintenance",
    "GET /api/v1/models",
    "GET /api/v1/info",
)


def test_every_route_of_the_document_is_tried(api: BaseSchema) -> None:
    documented = api.raw_schema["paths"]
    found = [f"{method.upper()} {path}" for path, methods in documented.items() for method in methods]
    assert sorted(found) == sorted(ROUTES)


NO_INPUT = {"metrics", "healthz", "readyz", "models", "info"}
RIGHT = [(route, GenerationMode.POSITIVE) for route in ROUTES]
WRONG = [(route, GenerationMode.NEGATIVE) for route in ROUTES if route.split("/")[-1] not in NO_INPUT]


@pytest.mark.parametrize(("route", "mode"), [*RIGHT, *WRONG])
def test_a_route_answers_as_documented(api: BaseSchema, route: str, mode: GenerationMode) -> None:
    method, path = route.split(" ")
    operation = api[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def answers(case: Case[Any]) -> None:
        # A cursor of the right form that we did not make is refused, and no schema can say so.
        made_up = "before" in (case.query or {})
        case.call_and_validate(excluded_checks=[positive_data_acceptance] if made_up else [])

    answers()
