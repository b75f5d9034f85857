"""Small worlds for the tests of findings and alerts: a profile, windows and scores made by hand."""

from collections.abc import Sequence

import numpy as np

from models.scoring import ModelIdentity, Score
from monitor.alerts import AlertBook, AlertEvent
from monitor.findings import Action, Evidence, Finding, Judge, JudgeSettings, Kind, Reason, Severity
from streams.blocks import WindowBatch
from streams.devices import Channel, DeviceProfile

STRIDE_MS = 10_000
START = 1_795_324_000_000
MODEL = ModelIdentity("infusion-pump", "1.0.0", "ab" * 32)

PUMP = DeviceProfile(
    type="infusion-pump",
    title="Infusion pump",
    grid_ms=1000,
    window_rows=60,
    stride_rows=10,
    min_rows=20,
    lateness_ms=5000,
    silent_after_ms=10_000,
    channels=(
        Channel(
            name="line_pressure_down",
            title="Downstream line pressure",
            unit="mm[Hg]",
            period_ms=1000,
            low=-100,
            high=2000,
        ),
        Channel(name="motor_current", title="Motor current", unit="mA", period_ms=1000, low=0, high=500),
        Channel(
            name="flow_current",
            title="Flow rate",
            unit="mL/h",
            period_ms=1000,
            low=0,
            high=1300,
            refid="MDC_FLOW_FLUID_PUMP_CURRENT",
            mdc=158014,
        ),
        Channel(
            name="flow_set", title="Set flow", unit="mL/h", period_ms=1000, low=0, high=1300, role="setting"
        ),
    ),
)


def batch(devices: Sequence[str], ends: Sequence[int]) -> WindowBatch:
    """Windows that ended so many strides after START; the judge looks at no values."""
    B, T, C = len(devices), PUMP.window_rows, len(PUMP.channels)
    return WindowBatch(
        profile=PUMP,
        devices=list(devices),
        end_t=START + STRIDE_MS * np.array(ends, np.int64),
        values=np.broadcast_to(np.float32(np.nan), (B, T, C)),
        mask=np.zeros((B, T, C), np.bool_),
    )


def score(
    anomaly: Sequence[float],
    share: Sequence[Sequence[float]] | None = None,
    observed: Sequence[Sequence[float]] | None = None,
) -> Score:
    B, C = len(anomaly), len(PUMP.channels)
    shares = np.array([[0.7, 0.2, 0.1, 0.0]] * B if share is None else share, np.float32)
    seen = np.array([[412.0, 120.0, 24.0, 25.0]] * B if observed is None else observed, np.float32)
    expected = np.tile(np.array([351.0, 100.0, 25.0, 25.0], np.float32), (B, 1))
    return Score(
        anomaly=np.array(anomaly, np.float32),
        share=shares,
        attention=shares[:, ::-1].copy(),
        residual=shares,
        observed=seen,
        expected=expected,
        direction=np.nan_to_num(np.sign(seen - expected)).astype(np.int8),
        imputed=np.zeros((B, C), np.bool_),
        spread=np.tile(np.array([10.0, 4.0, 0.5, np.nan], np.float32), (B, 1)),
    )


def play(judge: Judge, anomalies: Sequence[float], device: str = "P-1", first: int = 0) -> list[Finding]:
    """One device, one window a batch, stride after stride."""
    found = []
    for i, anomaly in enumerate(anomalies):
        found += judge.judge(batch([device], [first + i]), score([anomaly]))
    return found


def new_judge(**settings: float) -> Judge:
    return Judge(PUMP, MODEL, JudgeSettings.model_validate(settings))


PROFILES = {PUMP.type: PUMP}
EVIDENCE = (
    Evidence("line_pressure_down", 0.62, 0.7, 0.54, 412.3, 351.2, 1),
    Evidence("motor_current", 0.3, 0.2, 0.4, 118.0, 100.0, 1),
    Evidence("flow_current", 0.08, 0.1, 0.06, float("nan"), float("nan"), 0),
)


def finding(action: Action = Action.OPEN, at: int = START + 30_000, **changes: object) -> Finding:
    fields: dict[str, object] = {
        "kind": Kind.FAULT,
        "action": action,
        "reason": Reason.OPENED,
        "severity": Severity.WARNING,
        "device": "SN-1042",
        "device_type": PUMP.type,
        "started_t": START,
        "at_t": at,
        "anomaly": 1.6,
        "peak": 1.8,
        "evidence": EVIDENCE,
        "model": MODEL,
    }
    return Finding(**(fields | changes))  # type: ignore[arg-type] # fields by name, changed by a test


def story(
    device: str = "SN-1", started: int = START, steps: int = 3, resolved: bool = True
) -> list[AlertEvent]:
    """One alert from beginning to end."""
    book, last = AlertBook(PROFILES), Action.RESOLVE if resolved else Action.UPDATE
    actions = [Action.OPEN, *[Action.UPDATE] * (steps - 2), last][:steps]
    events = [
        book.apply(finding(action, started + 1000 * i, device=device, started_t=started))
        for i, action in enumerate(actions)
    ]
    return [event for event in events if event]
