"""The application: routes, middleware and the OpenAPI document, put together once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.middleware import Middleware

from models.scoring import Scorer
from monitor import __version__
from monitor.metrics import Metrics
from monitor.outbox import OutboxUnavailableError
from monitor.web import problems
from monitor.web.alerts import alerts
from monitor.web.deliveries import deliveries
from monitor.web.devices import devices, maintenance
from monitor.web.middleware import LimitBody, Observe, RequireToken
from monitor.web.operations import operations
from monitor.web.ports import AlertStore, FleetView, Health
from monitor.web.service import NOTICE, service

API = "/api"
V1 = "/api/v1"
OPERATIONS = ("/metrics", "/healthz", "/readyz")
TAGS = [
    {"name": "alerts", "description": "What was found, who takes care, and whether it was delivered."},
    {"name": "deliveries", "description": "What a target did not take, and what is to be done with it."},
    {"name": "devices", "description": "How the devices stand now."},
    {"name": "service", "description": "What is running."},
    {
        "name": "operations",
        "description": "Metrics and health, for the machines that look after the service.",
    },
]


def now_utc() -> datetime:
    """The wall's time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Access:
    """Who may ask."""

    tokens: Sequence[str] = field(default=(), repr=False)
    """With at least one, every path below /api needs one of them as bearer token."""
    protect_operations: bool = False
    """Whether /metrics, /healthz and /readyz need it, too."""

    @property
    def protected(self) -> tuple[str, ...]:
        """The prefixes of the paths that need a token."""
        if not self.tokens:
            return ()
        return (API, *OPERATIONS) if self.protect_operations else (API,)


def create_app(
    store: AlertStore,
    fleet: FleetView,
    health: Health,
    metrics: Metrics,
    *,
    scorers: Mapping[str, Scorer],
    access: Access = Access(),
    now: Callable[[], datetime] = now_utc,
    woken: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The API, the metrics and the health endpoints as an ASGI application. Holds no state of its own.

    `woken` is called when a request left work in the store: whoever does it need not wait for its next look.
    """
    app = FastAPI(
        title="Attendant",
        summary="Watches medical devices and names the channels at fault.",
        description=NOTICE,
        version=__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=TAGS,
        # The document is a route like others, so that it needs the token like others. Pages that show it load
        # scripts from elsewhere, which neither a closed network nor our content policy allows.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Observe, metrics=metrics),
            Middleware(RequireToken, tokens=access.tokens, prefixes=access.protected),
            Middleware(LimitBody),
        ],
    )
    problems.install(app)
    app.include_router(operations(metrics, health))
    app.add_exception_handler(OutboxUnavailableError, problems.unavailable)
    # Only documents the scheme: `RequireToken` is what enforces it.
    scheme = [Depends(HTTPBearer(auto_error=False))] if access.tokens else []
    for router in (
        alerts(V1, store, metrics, now, woken),
        deliveries(V1, store, now, woken),
        maintenance(V1, store, fleet, now, woken),
        devices(V1, fleet),
        service(V1, scorers, __version__, now()),
    ):
        app.include_router(router, dependencies=scheme)
    app.add_api_route(f"{V1}/openapi.json", lambda: JSONResponse(document(app)), include_in_schema=False)
    return app


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    schema = app.openapi()
    # FastAPI adds what no route answers with: our errors are problems.
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schemas["Problem"].pop("$defs", {}))
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    return schema
