"""Whether the service is alive and ready, with a reason in one line where it is not."""

from collections.abc import Callable, Sequence

from monitor.pipeline import Pipeline
from monitor.web.ports import Check

LOOP_STUCK_S = 30.0
"""A turn of the pipeline that takes this long without the database being away has hung."""


class ServiceHealth:
    """Looks at the pipeline and the models; `monotonic` is the clock of the pipeline's turns."""

    def __init__(self, pipeline: Pipeline, models: Sequence[str], monotonic: Callable[[], float]) -> None:
        self._pipeline = pipeline
        self._models = models
        self._monotonic = monotonic

    def live(self) -> Sequence[Check]:
        """Alive as long as the pipeline turns, or waits for its database."""
        idle_s = self._monotonic() - self._pipeline.turned_at
        stuck = idle_s > LOOP_STUCK_S and self._pipeline.database_error is None
        return [Check("pipeline", not stuck, f"no turn for {idle_s:.0f} s" if stuck else "")]

    def ready(self) -> Sequence[Check]:
        """Ready when there is telemetry to read, a model to score it, and a database to write to."""
        pipeline = self._pipeline
        return [
            *self.live(),
            Check(
                "broker",
                pipeline.assigned_once,
                "" if pipeline.assigned_once else "no partitions assigned yet",
            ),
            Check("database", pipeline.database_error is None, pipeline.database_error or ""),
            Check("models", bool(self._models), "" if self._models else "no trained model could be loaded"),
        ]
