"""`attendant evaluate` on small sets that are written as the public ones are."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from rich.console import Console

from models.evaluation import CAUSES, DETECTION
from models.generic import GenericConfig
from monitor.evaluating import EvaluateError, evaluate_command
from monitor.scoreboard import averages, comparisons, show

QUICK = GenericConfig(practice_rows=150)
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


def screen() -> Console:
    """As wide as the tables."""
    return Console(file=io.StringIO(), width=200)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_sets_are_measured_beside_their_peers_and_written_as_json(tmp_path: Path) -> None:
    write(tmp_path / "pumps", "one")
    file, console = tmp_path / "report.json", screen()
    outcome = evaluate_command(
        [tmp_path / "pumps"],
        seeds=[3, 4],
        report=file,
        peers=True,
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
    assert outcome["comparisons"]["all"]["random"]["vus_pr"]["series"] == 1
    text = written(console)
    for piece in (
        "pumps: mean over 1 series, 2 seeds",
        "VUS-PR",
        "PA-F1 (inflated)",
        "top-3",
        "95 % interval",
    ):
        assert piece in text


def test_figures_in_time_are_told_only_where_the_rows_have_a_time(tmp_path: Path) -> None:
    write(tmp_path / "pumps", "one")
    write(tmp_path / "pumps", "timeless", stamped=False)
    write(tmp_path / "smd", "timeless", stamped=False)
    outcome = evaluate_command([tmp_path], console=screen(), config=QUICK)
    row_s = {(r["set"], r["series"]): r["row_s"] for r in outcome["series"] if r["method"] == "abs_z"}
    assert row_s == {("pumps", "one"): 10.0, ("pumps", "timeless"): None, ("smd", "timeless"): 60.0}
    windows = {r["set"]: r["vus_window"] for r in outcome["series"] if r["method"] == "abs_z"}
    assert windows == {"pumps": 100, "smd": 100}
    for row in outcome["series"]:
        if row["method"] == "abs_z":
            assert (row["alarms_per_day"] is None) == (row["row_s"] is None)
    assert "comparisons" not in outcome


def test_series_that_cannot_be_learnt_are_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path / "asd", "good")
    write(tmp_path / "asd", "short", train=120)
    write(tmp_path / "asd", "untested", test=0)
    write(tmp_path / "asd", "untrained", train=0)
    console = screen()
    outcome = evaluate_command([tmp_path / "asd"], console=console, config=QUICK)
    assert {r["series"] for r in outcome["series"]} == {"good"}
    why = {one["series"]: one["why"] for one in outcome["skipped"]}
    assert why["short"].startswith("120 training rows; a model and its threshold need at least")
    assert "no rows of split test" in why["untested"]
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
    with pytest.raises(EvaluateError, match="cannot be written: No such file"):
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
