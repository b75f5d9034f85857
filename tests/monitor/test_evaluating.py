"""`attendant evaluate` on small sets that are written as the public ones are."""

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from rich.console import Console

import models.series.learning
from models.calibration import AlarmRule, ExpressRule
from models.evaluation import CAUSES, DETECTION
from models.peers import PEERS, PLAINEST, PeerMissingError
from models.series import Ablation, SeriesConfig
from monitor.evaluating import EvaluateError, evaluate_command, measuring, peers_asked, rhythmic
from monitor.evaluating.scoreboard import averages, comparisons, show
from monitor.longrun import ReportError
from tests.consoles import screen, written
from tests.models.rhythm import SMALL, breathing

QUICK = SeriesConfig(practice_rows=150)
CHANNELS = ("flow", "pressure", "current")
# Each trains a few tiny models, which is seconds alone but minutes beside other work.
pytestmark = pytest.mark.timeout(600)


def write(folder: Path, name: str, *, train: int = 300, test: int = 300, stamped: bool = True) -> None:
    """A series whose pressure leaves the flow in test rows 120 to 160."""
    folder.mkdir(parents=True, exist_ok=True)
    n = train + test
    rng = np.random.default_rng(len(name))
    flow = np.sin(np.arange(n) / 7) + rng.normal(0, 0.1, n)
    values = np.stack([flow, 2 * flow + rng.normal(0, 0.1, n), rng.normal(0, 1, n)], 1)
    label = np.zeros(n, np.int8)
    if test:
        label[train + 120 : train + 160] = 1
        values[train + 120 : train + 160, 1] += 6
    columns: dict[str, Any] = {"t": np.concatenate([np.arange(train), np.arange(test)])}
    columns["split"] = ["train"] * train + ["test"] * test
    columns |= {c: values[:, i].astype(np.float32) for i, c in enumerate(CHANNELS)}
    columns["label"] = label
    if stamped:
        columns["timestamp"] = [1_700_000_000_000 + 10_000 * i for i in range(n)]
    pyarrow.parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
    if test:
        causes = {"segments": [{"start": 120, "end": 160, "channels": ["pressure"], "idx": [1]}]}
        (folder / f"{name}.rootcause.json").write_text(json.dumps(causes))


class Plain:
    """In place of the detector where a test is about what is done with its scores: distance from the training mean."""

    def __init__(self, train: NDArray[np.float32]) -> None:
        self._center, self._spread = np.nanmean(train, 0), np.nanstd(train, 0) + 1e-6

    def whole(self, values: NDArray[np.float32]) -> tuple[Any, NDArray[np.float32]]:
        z = np.nan_to_num(np.abs(values - self._center) / self._spread)
        share = (z + 1e-6) / (z + 1e-6).sum(1, keepdims=True)
        anomaly = z.max(1) / 4
        bare = Ablation(anomaly * 0.5, anomaly >= 2, np.full_like(share, 1 / share.shape[1]))
        told = SimpleNamespace(
            anomaly=anomaly, alarming=anomaly >= 1, share=share, attention=share[:, ::-1], residual=share,
            evidence=share * anomaly[:, None], ablations={"without_attention": bare},
        )  # fmt: skip
        return told, (anomaly * 2).astype(np.float32)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*asked: Any) -> SimpleNamespace:
        [series] = asked[6]
        return SimpleNamespace(scorer=Plain(series.values))

    monkeypatch.setattr(models.series.learning, "fit_series", fit)


def test_sets_are_measured_beside_their_peers_and_written_as_json(tmp_path: Path) -> None:
    write(tmp_path / "pumps", "one")
    file, console = tmp_path / "report.json", screen()
    outcome = evaluate_command(
        [tmp_path / "pumps"],
        seeds=[3, 4],
        report=file,
        peers=("pca", "usad"),
        vus_window=10,
        console=console,
        config=QUICK,
    )
    assert json.loads(file.read_text()) == outcome
    methods = outcome["sets"]["pumps"]
    assert {
        "attendant",
        "attendant_attention",
        "attendant_residual",
        "windowed_pca",
        "simple_residual",
        "usad",
        "abs_z",
        "random",
    } < set(methods)
    ours = methods["attendant"]
    assert set(ours) == {*DETECTION, *CAUSES}
    assert ours["auc_roc"] > 0.8
    assert ours["top1"] == 1.0
    assert methods["random"]["vus_pr"] < ours["vus_pr"]
    seeds = [(r["series"], r["seed"]) for r in outcome["series"] if r["method"] == "attendant"]
    assert seeds == [("one", 3), ("one", 4)]
    assert {seed: one["vus_pr"] for seed, one in outcome["seeds"]["pumps"].items()} == {
        str(r["seed"]): r["vus_pr"] for r in outcome["series"] if r["method"] == "attendant"
    }
    assert set(outcome["comparisons"]["all"]["random"]) == {"vus_pr", "f1_own", "segment_hit_100", "top1"}
    assert outcome["comparisons"]["all"]["usad"]["vus_pr"]["series"] == 1
    text = written(console)
    for piece in (
        "pumps: mean over 1 series, 2 seeds",
        "series by series",
        "VUS-PR",
        "PA-F1 (inflated)",
        "top-3",
        "95 % interval",
    ):
        assert piece in text


def test_beside_the_own_threshold_stands_what_the_service_would_have_told_at_its_budget(
    tmp_path: Path, plain: None
) -> None:
    write(tmp_path / "pumps", "one")
    methods = evaluate_command([tmp_path / "pumps"], console=screen())["sets"]["pumps"]
    ours, service = methods["attendant"], methods["attendant_at_budget"]
    assert service["events_found"] == 1.0
    assert service["vus_pr"] == pytest.approx(ours["vus_pr"])
    # Fifteen of the last twenty rows, ten seconds each, have to be anomalous.
    assert service["detection_delay_s"] == pytest.approx(140.0)
    assert service["false_alarms_per_day"] == 0


def test_what_the_service_would_have_told_is_compared_with_nobody(tmp_path: Path, plain: None) -> None:
    write(tmp_path / "pumps", "one")
    outcome = evaluate_command([tmp_path / "pumps"], console=screen())
    left_out = outcome["sets"]["pumps"].keys() - outcome["comparisons"]["pumps"].keys()
    assert left_out == {"attendant", "attendant_at_budget"}


def test_a_larger_budget_of_false_alarms_lowers_the_threshold_of_the_service(tmp_path: Path) -> None:
    write(tmp_path / "pumps", "one", train=1200)
    found = [
        evaluate_command([tmp_path / "pumps"], budget=budget, console=screen(), config=QUICK)["sets"]["pumps"]
        for budget in (1e-3, 1e3)
    ]
    strict, loose = (one["attendant_at_budget"] for one in found)
    assert strict["normal_rows_alarming"] < loose["normal_rows_alarming"]
    assert found[0]["attendant"] == found[1]["attendant"], "the own threshold knows no budget"


def test_figures_in_time_are_told_only_where_the_rows_have_a_time(tmp_path: Path, plain: None) -> None:
    write(tmp_path / "pumps", "one")
    write(tmp_path / "pumps", "timeless", stamped=False)
    write(tmp_path / "smd", "timeless", stamped=False)
    outcome = evaluate_command([tmp_path], console=screen())
    row_s = {(r["set"], r["series"]): r["row_s"] for r in outcome["series"] if r["method"] == "abs_z"}
    assert row_s == {("pumps", "one"): 10.0, ("pumps", "timeless"): None, ("smd", "timeless"): 60.0}
    windows = {r["set"]: r["vus_window"] for r in outcome["series"] if r["method"] == "abs_z"}
    assert windows == {"pumps": 100, "smd": 100}
    for row in outcome["series"]:
        if row["method"] == "abs_z":
            assert (row["alarms_per_day"] is None) == (row["row_s"] is None)


def test_series_that_cannot_be_learnt_are_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path / "asd", "good")
    write(tmp_path / "asd", "short", train=120)
    write(tmp_path / "asd", "untested", test=0)
    write(tmp_path / "asd", "untrained", train=0)
    (tmp_path / "asd" / "broken.parquet").write_bytes(b"nonsense")
    console = screen()
    outcome = evaluate_command([tmp_path / "asd"], console=console, config=QUICK)
    assert {r["series"] for r in outcome["series"]} == {"good"}
    why = {one["series"]: one["why"] for one in outcome["skipped"]}
    assert why["short"].startswith("120 training rows; a model and its threshold need at least")
    assert "no rows of split test" in why["untested"]
    assert "is no parquet table" in why["broken"]
    assert "no rows of split train" in why["untrained"]
    assert "left out asd/short: 120 training rows" in written(console)


def test_a_wrong_path_or_file_is_one_readable_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "one.parquet").write_bytes(b"nonsense")
    write(tmp_path / "pumps", "short", train=50)
    for folder, words in (
        ("nowhere", "no recording is there"),
        ("empty", "no recording is there"),
        ("broken", "one.parquet: is no parquet table"),
        ("pumps", "no series could be evaluated"),
    ):
        with pytest.raises(EvaluateError, match=words) as caught:
            evaluate_command([tmp_path / folder], console=screen(), config=QUICK)
        assert "\n" not in str(caught.value)


def test_a_report_that_cannot_be_written_is_said_before_any_training(tmp_path: Path) -> None:
    write(tmp_path / "pumps", "one")
    console = screen()
    with pytest.raises(ReportError, match="cannot be written: No such file"):
        evaluate_command([tmp_path / "pumps"], report=tmp_path / "no" / "report.json", console=console)
    assert written(console) == ""


def test_averages_count_only_what_was_told() -> None:
    rows = [
        {"set": "s", "series": "a", "seed": 0, "method": "attendant", "vus_pr": 0.5, "top1": None},
        {"set": "s", "series": "a", "seed": 1, "method": "attendant", "vus_pr": 0.7, "top1": None},
        {"set": "s", "series": "b", "seed": 0, "method": "attendant", "vus_pr": None, "top1": 1.0},
        {"set": "s", "series": "a", "seed": 0, "method": "abs_z", "vus_pr": 0.2},
    ]
    found = averages(rows)["s"]
    assert found["attendant"]["vus_pr"] == pytest.approx(0.6)
    assert found["attendant"]["top1"] == 1.0
    assert found["abs_z"]["f1_own"] is None
    lead = comparisons(rows)["all"]["abs_z"]["vus_pr"]
    assert lead["series"] == 1
    assert lead["difference"] == pytest.approx(0.4)


def test_tables_fit_a_narrow_screen_and_say_what_is_inflated() -> None:
    figures = dict.fromkeys((*DETECTION, *CAUSES), 0.5) | {
        "alarms_per_day": 1041.0,
        "detection_delay_s": None,
    }
    rows = [
        {"set": "s", "series": one, "seed": 0, "method": method, **figures}
        for one in "ab"
        for method in ("windowed_pca_max", "attendant", "attendant_attention")
    ]
    console = Console(file=io.StringIO(), width=80)
    report = {"sets": averages(rows), "series": rows, "skipped": [], "comparisons": comparisons(rows)}
    show(console, report)
    text = written(console)
    assert "…" not in text
    for piece in ("attendant_attention", "windowed_pca_max", "1,041", "–", "(inflated)", "2 series, 1 seed "):
        assert piece in text


def test_parts_and_ablations_stand_beside_the_detector_with_intervals(tmp_path: Path, plain: None) -> None:
    write(tmp_path / "pumps", "one")
    write(tmp_path / "pumps", "other")
    outcome = evaluate_command([tmp_path / "pumps"], console=screen())
    methods, against = outcome["sets"]["pumps"], outcome["comparisons"]["all"]
    assert methods["attendant_without_attention"]["f1_own"] < methods["attendant"]["f1_own"]
    for figure in ("vus_pr", "f1_own", "segment_hit_100", "top1"):
        assert against["attendant_without_attention"][figure]["series"] == 2
    assert against["attendant_without_attention"]["top1"]["difference"] == 1.0
    for ranking in ("attendant_attention", "attendant_residual", "simple_residual", "random"):
        assert methods[ranking]["top1"] is not None
        assert "top1" in against[ranking]
    assert methods["attendant_attention"]["vus_pr"] is None
    assert outcome["mean_of_sets"]["attendant"]["vus_pr"] == methods["attendant"]["vus_pr"]


def test_a_peer_whose_library_is_missing_is_left_out_with_a_line_that_says_how_to_get_it(
    tmp_path: Path, plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> Any:
        raise PeerMissingError("kmeans", "scikit-learn")

    monkeypatch.setattr(measuring, "PEERS", {**PEERS, "kmeans": absent})
    write(tmp_path / "pumps", "one")
    console = screen()
    outcome = evaluate_command([tmp_path / "pumps"], peers=["kmeans"], console=console)
    assert outcome["notes"] == [str(PeerMissingError("kmeans", "scikit-learn"))]
    assert "pip install 'attendant[evaluation]'" in written(console)
    assert "windowed_pca" in outcome["sets"]["pumps"]


def test_the_words_behind_peers_are_names_or_folders(tmp_path: Path) -> None:
    folder = tmp_path / "pca"
    assert peers_asked(False, [folder]) == ([folder], PLAINEST)
    assert peers_asked(True, [folder]) == ([folder], tuple(PEERS))
    assert peers_asked(True, [Path("pca,usad"), folder]) == ([folder], ("pca", "usad"))
    with pytest.raises(EvaluateError, match="no peer nonsense; there are pca"):
        peers_asked(True, [Path("pca,nonsense"), folder])


def wave(folder: Path, name: str, x: NDArray[np.floating], train: int) -> None:
    """An unlabelled wave; the rows after `train` are for testing."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {f"channel {c}": x[:, c].astype(np.float32) for c in range(x.shape[1])}
    columns["split"] = ["train"] * train + ["test"] * (len(x) - train)
    pyarrow.parquet.write_table(pa.table(columns), folder / f"{name}.parquet")


@pytest.mark.parametrize("tested", [True, False], ids=["with test rows", "all for training"])
def test_an_unlabelled_wave_tells_of_false_alarms_and_carries_faults(
    tmp_path: Path, plain: None, tested: bool
) -> None:
    x = breathing(600.0)[::2]  # 50 Hz
    two = np.stack([x, np.roll(x, 20)], 1) + np.random.default_rng(0).normal(0, 0.1, (len(x), 2))
    wave(tmp_path / "waves", "breaths-50hz", two, len(x) // 2 if tested else len(x))
    outcome = evaluate_command([tmp_path / "waves"], console=screen())
    healthy, faulty = outcome["sets"]["waves"]["attendant"], outcome["sets"]["waves+faults"]["attendant"]
    assert healthy["vus_pr"] is None
    assert healthy["alarms_per_day"] is not None
    assert healthy["normal_rows_alarming"] < 0.2
    assert faulty["vus_pr"] > outcome["sets"]["waves+faults"]["random"]["vus_pr"]
    assert faulty["top1"] > 0.5
    row = next(row for row in outcome["series"] if row["method"] == "attendant")
    assert row["rows"] == len(x) * (0.5 if tested else 0.4)
    assert row["cycle_rows"] == pytest.approx(100, abs=5)
    assert row["hop_rows"] == pytest.approx(25, abs=2)


def test_a_breath_on_one_channel_is_watched_by_its_cycles(
    tmp_path: Path, plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rhythmic, "PRACTICE", replace(SMALL, traces=60, epochs=3))
    x = breathing(200.0) + np.random.default_rng(0).normal(0, 0.1, 20_000)
    wave(tmp_path / "waves", "breaths-100hz", x[:, None], 8_000)
    outcome = evaluate_command([tmp_path / "waves"], console=screen())
    methods = outcome["sets"]["waves+faults"]
    assert methods["attendant"]["vus_pr"] is not None
    assert methods["attendant_levels"]["vus_pr"] is not None
    assert methods["attendant"]["vus_pr"] != methods["attendant_levels"]["vus_pr"]
    assert "attendant_levels_without_attention" in methods


def test_a_rhythm_alarms_by_both_lanes_of_the_rule_that_its_threshold_was_fitted_for() -> None:
    """Three blatant windows are enough, and ten just above the threshold; a window is scored every 4 rows of 50 ms."""
    anomaly = np.full(200, 0.5, np.float32)
    anomaly[50:53], anomaly[100:110] = 2.5, 1.1
    scorer: Any = SimpleNamespace(score=lambda values, _mask: SimpleNamespace(anomaly=anomaly[: len(values)]))
    recipe = replace(SMALL, rule=AlarmRule(8, 10, express=ExpressRule(2, 3)))
    t_ms, values = np.arange(800) * 50.0, np.zeros((800, 1), np.float32)
    exam: Any = SimpleNamespace(recording=SimpleNamespace(t_ms=t_ms, values=values))
    told = rhythmic.RhythmModel(scorer, recipe).score(exam)
    begun = np.flatnonzero(np.diff(told.alarming.astype(int)) == 1) + 1
    assert begun.tolist() == [recipe.min_rows + 4 * window for window in (51, 107)]


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    write(tmp_path / "pumps", "one", train=220)
    write(tmp_path / "pumps", "short", train=50)
    reports = [
        evaluate_command([tmp_path / "pumps"], console=screen(), config=QUICK, jobs=jobs) for jobs in (1, 2)
    ]
    for report in reports:
        for row in report["series"]:
            row.pop("seconds", None)
    assert reports[0]["series"] == reports[1]["series"]
    assert reports[0]["skipped"] == reports[1]["skipped"]
