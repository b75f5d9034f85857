"""Plain methods: judged by their mode, calibrated on devices that they have not seen."""

import numpy as np
import pytest

from models import baselines
from models.baselines import PLAIN, PlainScorer, fit_plain, fit_scorers
from models.baselines.fitting import parted
from models.baselines.modes import ByMode
from models.baselines.reading import Reader
from models.calibration import AlarmRule, Threshold
from models.recipe import TrainingConfig
from models.scoring import ModelIdentity
from models.training import Series, draw, windows_of
from tests.checks.scorer_laws import Windows, assert_same
from tests.models.fleet import MODED, ROW_S, ROWS, STRIDE, device

PRESSURE, RUNNING = 2, 1
IDENTITY = ModelIdentity("pump", "test", "0")


@pytest.fixture(scope="module")
def fleet() -> list[Series]:
    return [device(serial, 1500) for serial in range(24)]


@pytest.fixture(scope="module")
def sides(fleet: list[Series]) -> tuple[Windows, Windows]:
    """Windows of two halves of the fleet, most of them within one mode."""
    rng = np.random.default_rng(0)
    return draw(fleet[:12], ROWS, 3000, 0, rng), draw(fleet[12:], ROWS, 3000, 0, rng)


def standing(serial: int = 99) -> Windows:
    """Windows of a device that stands still all the time."""
    whole = device(serial, 1500)
    still = whole.values.copy()
    values, mask = windows_of(Series("still", still, whole.mask), ROWS, STRIDE)
    here = (np.where(mask, values, 0)[..., RUNNING].max(1) == 0) & mask[..., RUNNING].any(1)
    return values[here].copy(), mask[here].copy()


def raised(windows: Windows, by: float) -> Windows:
    """The same with a pressure that reads so much more."""
    values, mask = windows
    higher = values.copy()
    higher[..., PRESSURE] += by
    return higher, mask


def worst(scorer: PlainScorer, windows: Windows) -> float:
    """Median over the windows of what the pressure's own statistic comes to."""
    at = scorer._reader.targets.index(PRESSURE)
    return float(np.median(scorer.statistics(*windows)[:, at]))


def test_a_reading_that_is_usual_in_another_mode_is_far_out_only_to_the_method_of_its_mode(
    sides: tuple[Windows, Windows],
) -> None:
    pooled, by_mode = (fit_plain(name, MODED, *sides, IDENTITY) for name in ("robust_z", "robust_z_by_mode"))
    usual, pressed = standing(), raised(standing(), 20.0)
    assert len(usual[0]) > 5
    assert worst(pooled, usual) < 0
    assert worst(by_mode, usual) < 0
    assert worst(pooled, pressed) < 0.2, "a running pump has such a pressure"
    assert worst(by_mode, pressed) > 0.5


def test_a_window_that_holds_a_change_of_mode_is_of_another_mode_than_either(
    sides: tuple[Windows, Windows],
) -> None:
    reader = Reader(MODED, *sides[0])
    values, mask = sides[0][0][:1].copy(), sides[0][1][:1].copy()
    values[..., RUNNING], mask[..., RUNNING] = 1.0, True
    [running] = reader(values, mask).mode
    values[0, :10, RUNNING] = 0.0
    [started] = reader(values, mask).mode
    values[..., RUNNING] = 0.0
    [still] = reader(values, mask).mode
    assert (running, started, still) == (1.0, 1.5, 0.0)
    mask[0, -5:, RUNNING] = False
    assert reader(values, mask).mode == still, "what was told last still holds"
    mask[..., RUNNING] = False
    assert np.isnan(reader(values, mask).mode)


def test_windows_of_a_rare_mode_are_judged_by_the_method_of_all_modes(
    sides: tuple[Windows, Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines.modes, "LEAST", 1_000_000)
    pooled, by_mode = (
        fit_plain(name, MODED, *sides, IDENTITY) for name in ("windowed_pca", "windowed_pca_by_mode")
    )
    assert isinstance(by_mode._fitted, ByMode)
    assert not by_mode._fitted.modes
    assert_same(by_mode.score(*standing()), pooled.score(*standing()))


def test_a_counter_that_stands_high_is_nothing_unusual(sides: tuple[Windows, Windows]) -> None:
    volume = 5
    for name in PLAIN:
        scorer = fit_plain(name, MODED, *sides, IDENTITY)
        values, mask = standing()
        higher = values.copy()
        higher[..., volume] += 4096.0
        one, other = (scorer.statistics(x, mask) for x in (values, higher))
        np.testing.assert_allclose(one, other, atol=0.05, err_msg=name)


def test_the_threshold_is_fitted_for_the_budget_on_devices_that_nothing_else_was_fitted_on(
    fleet: list[Series], monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated: list[set[str]] = []
    learnt: list[set[str]] = []

    def calibrate(_scorer: object, series: list[Series], *_: object) -> Threshold:
        calibrated.append({one.device for one in series})
        return Threshold.unfitted(6)

    def drawn(series: list[Series], rows: int, _count: int, *further: object) -> Windows:
        learnt.append({one.device for one in series})
        return draw(series, rows, 400, *further)  # type: ignore[arg-type]

    config = TrainingConfig(budget=2.0, rule=AlarmRule(3, 5), min_rows=16)

    def fitted() -> dict[str, PlainScorer]:
        names = ["robust_z", "windowed_pca"]
        return fit_scorers(names, "pump", MODED, ROWS, STRIDE, ROW_S, fleet, config)

    with monkeypatch.context() as patch:
        patch.setattr(baselines.fitting, "calibrate", calibrate)
        patch.setattr(baselines.fitting, "draw", drawn)
        fitted()
    assert len(learnt) == len(calibrated) == 2
    assert calibrated[0] == calibrated[1]
    for one, other in ((learnt[0], learnt[1]), (learnt[0], calibrated[0]), (learnt[1], calibrated[0])):
        assert one.isdisjoint(other)
    assert len(calibrated[0]) == len(fleet) / 2

    monkeypatch.setattr(baselines.fitting, "WINDOWS", 400)
    for name, scorer in fitted().items():
        assert scorer.identity.version == name
        assert scorer.threshold.rate_asked == 2.0
        assert scorer.threshold.device_days == pytest.approx(12 * (1500 - 16) * ROW_S / 86_400, rel=0.02)


def test_too_few_devices_are_refused_with_how_many_it_takes(fleet: list[Series]) -> None:
    with pytest.raises(ValueError, match="3 devices; plain methods take four at least"):
        parted(fleet[:3], 0)
