"""Routes for machines that look after the service: metrics, liveness, readiness."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from monitor.metrics import Metrics
from monitor.web.ports import Check, Health
from monitor.web.schemas import HealthCheck, HealthReport

UNWELL: dict[int | str, dict[str, Any]] = {
    503: {"model": HealthReport, "description": "At least one check does not pass"}
}


def operations(metrics: Metrics, health: Health) -> APIRouter:
    """`/metrics`, `/healthz` and `/readyz`."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {
                "description": "OpenMetrics where `Accept` asks for it, else the Prometheus text format",
                "content": {
                    "text/plain": {"schema": {"type": "string"}},
                    "application/openmetrics-text": {"schema": {"type": "string"}},
                },
            }
        },
    )
    async def read_metrics(request: Request) -> Response:
        """Everything that is counted and measured, for Prometheus."""
        metrics.set_ready({check.name: check.passes for check in health.ready()})
        body, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    @router.get("/healthz", response_model=HealthReport, responses=UNWELL)
    async def read_liveness() -> JSONResponse:
        """Whether the process works. If not, only a restart helps."""
        return _report(health.live())

    @router.get("/readyz", response_model=HealthReport, responses=UNWELL)
    async def read_readiness() -> JSONResponse:
        """Whether telemetry is read and alerts are written, and if not, why."""
        checks = health.ready()
        metrics.set_ready({check.name: check.passes for check in checks})
        return _report(checks)

    return router


def _report(checks: Sequence[Check]) -> JSONResponse:
    passes = all(check.passes for check in checks)
    report = HealthReport(passes=passes, checks=[HealthCheck.model_validate(check) for check in checks])
    return JSONResponse(
        report.model_dump(), status_code=HTTPStatus.OK if passes else HTTPStatus.SERVICE_UNAVAILABLE
    )
