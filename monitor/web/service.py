"""Routes about the service itself: what is running, and which models judge."""

from collections.abc import Mapping
from datetime import datetime

from fastapi import APIRouter

from models.scoring import Scorer
from monitor.web.schemas import Info, ModelCard, ModelPage

NOTICE = (
    "For biomedical engineers. Attendant watches devices, not patients; it is no clinical alarm system and "
    "claims no conformity with any alarm standard."
)


def service(prefix: str, scorers: Mapping[str, Scorer], version: str, started_at: datetime) -> APIRouter:
    """`/models` and `/info` below `prefix`."""
    router = APIRouter(prefix=prefix, tags=["service"])

    @router.get("/models")
    async def list_models() -> ModelPage:
        """The models in use."""
        return ModelPage(items=[_card(scorers[kind]) for kind in sorted(scorers)])

    @router.get("/info")
    async def read_info() -> Info:
        """What is running."""
        return Info(name="attendant", version=version, started_at=started_at, notice=NOTICE)

    return router


def _card(scorer: Scorer) -> ModelCard:
    identity = scorer.identity
    return ModelCard(
        type=identity.name,
        version=identity.version,
        digest=identity.digest,
        channels=list(scorer.channels),
        window_rows=scorer.window_rows,
    )
