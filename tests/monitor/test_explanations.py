"""What stands behind an alert: packed, kept, answered over HTTP, drawn; through the real pipeline's own steps."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray

from models.fleet import Series, as_series
from models.preparation import ChannelSpec
from models.scoring import Explanation, Score, Scorer
from models.series import SeriesConfig
from models.series.learning import fit_series
from monitor.alerts import Alert, alert_id
from monitor.due import Due, answer
from monitor.explanations import MOST_CHANNELS, ExplanationError, Kept, keep, read
from monitor.findings import JudgeSettings, Sight, SilenceSettings
from monitor.inference import Inference
from monitor.lanes import Lane, LaneRecipe
from monitor.metrics import Metrics
from monitor.outbox import Work
from monitor.pipeline.pictures import Pictures, View
from streams.blocks import WindowBatch
from streams.devices import Channel
from streams.transport import TopicPartition
from tests.monitor.faces import Face, episode, face
from tests.monitor.worlds import MODEL, PUMP, START, STRIDE_MS

P0, P1 = TopicPartition("telemetry", 0), TopicPartition("telemetry", 1)
AT = START + STRIDE_MS
KEY = alert_id("SN-1", MODEL.name, START)


def told(windows: int = 1, patches: int = 6) -> Explanation:
    """Pressure gets most of the attention, most of it at the end; the setting gets none."""
    T = PUMP.window_rows
    expected = np.tile(np.array([351, 100, 25, np.nan], np.float32), (windows, T, 1))
    attention = np.outer(np.arange(1, patches + 1), [0.7, 0.2, 0.1, 0.0]).astype(np.float32)
    attention = np.tile(attention / attention.sum(), (windows, 1, 1))
    return Explanation(expected, expected - 12, expected + 12, attention)


def values() -> NDArray[np.float32]:
    """(T, C) the pressure climbs, the current is read now and then."""
    x = np.full((PUMP.window_rows, len(PUMP.channels)), np.nan, np.float32)
    x[:, 0] = np.linspace(350, 412, PUMP.window_rows)
    x[::10, 1] = 118.0
    x[:, 2:] = 25.0
    return x


def kept(at_ms: int = AT) -> Kept:
    return keep(KEY, PUMP, at_ms, 2.4, values(), told(), 0)


def test_what_is_kept_is_read_back_with_units_titles_and_times() -> None:
    shown = read(KEY, kept().body)
    pressure, current, flow = shown.channels
    assert (pressure.name, pressure.title, pressure.unit) == (
        "line_pressure_down",
        "Downstream line pressure",
        "mm[Hg]",
    )
    assert [pressure.values[0], pressure.values[-1]] == [350.0, 412.0]
    assert (pressure.low[0], pressure.expected[0], pressure.high[0]) == (339.0, 351.0, 363.0)
    assert current.values[:2] == [118.0, None]
    assert flow.name == "flow_current"
    assert (shown.row_s, shown.rows, shown.patch_rows) == (1.0, 60, 10)
    assert (shown.at - shown.started_at).total_seconds() == 60
    assert sum(sum(channel.attention) for channel in shown.channels) == pytest.approx(1.0, abs=1e-3)


def test_the_same_window_makes_the_same_bytes() -> None:
    assert kept().body == kept().body


def test_the_widest_profile_stays_bounded_and_keeps_the_most_attended_channels() -> None:
    rng = np.random.default_rng(0)
    channel = PUMP.channels[0]
    many = tuple(Channel.model_validate(channel.model_dump() | {"name": f"c{i}"}) for i in range(128))
    wide = PUMP.model_copy(update={"channels": many, "window_rows": 1024})
    wide.__dict__.pop("names", None)
    noise = rng.normal(size=(1, 1024, 128)).astype(np.float32)
    attention = np.zeros((1, 8, 128), np.float32)
    attention[0, :, 77] = 0.1
    attention[0, :, 5] = 0.025
    explanation = Explanation(noise, noise - 1, noise + 1, attention)
    body = keep(KEY, wide, AT, 1.0, noise[0], explanation, 0).body
    shown = read(KEY, body)
    assert len(shown.channels) == MOST_CHANNELS
    assert [c.name for c in shown.channels[:2]] == ["c77", "c5"]
    assert len(body) < 500_000


@pytest.mark.parametrize("damage", [b"", b"not compressed", kept().body[:-20]])
def test_a_damaged_explanation_is_an_error_with_the_alert_in_it(damage: bytes) -> None:
    with pytest.raises(ExplanationError, match=str(KEY)):
        read(KEY, damage)


# -- from the windows into the transaction ---------------------------------------------------------------


class Explaining:
    """Explains everything alike and remembers how many windows it was asked for."""

    identity, channels, window_rows = MODEL, PUMP.names, PUMP.window_rows

    def __init__(self) -> None:
        self.asked = 0

    def score(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Score:
        raise AssertionError("nothing is to be scored here")

    def explain(self, values: NDArray[np.float32], mask: NDArray[np.bool_]) -> Explanation:
        self.asked += len(values)
        return told(len(values))


def view(partition: TopicPartition, device: str, at_ms: int = AT) -> View:
    window = values()[None]
    batch = WindowBatch(PUMP, [device], np.array([at_ms]), window, np.isfinite(window))
    sight = Sight(0, device, START, at_ms, 2.4)
    return View(partition, alert_id(device, MODEL.name, START), Due(batch, None, None), sight)


def inference(scorer: Scorer) -> Inference:
    return Inference(
        MappingProxyType({PUMP.type: scorer}), Metrics.of_process(device_types=[PUMP.type], notifiers=[])
    )


async def test_pictures_wait_by_partition_until_they_are_saved() -> None:
    scorer = Explaining()
    pictures = Pictures(inference(scorer))
    await pictures.take([view(P0, "SN-1"), view(P1, "SN-2"), view(P0, "SN-3")])
    await pictures.take([view(P0, "SN-1", AT + STRIDE_MS)])

    waiting = {(k.alert_id, k.at_ms) for k in pictures.waiting([P0])}
    assert waiting == {(KEY, AT + STRIDE_MS), (alert_id("SN-3", MODEL.name, START), AT)}
    pictures.forget([P0])
    assert pictures.waiting([P0]) == ()
    assert len(pictures.waiting([P0, P1])) == 1
    assert scorer.asked == 4


class Adapting(Explaining):
    """Can be told of biases, and remembers those that it was told of."""

    def explain_adapted(
        self, values: NDArray[np.float32], mask: NDArray[np.bool_], bias: NDArray[np.float32]
    ) -> Explanation:
        self.told = bias.tolist()
        return self.explain(values, mask)


async def test_a_picture_is_of_what_was_expected_of_the_very_device() -> None:
    scorer = Adapting()
    plain, biased = view(P0, "SN-1"), view(P0, "SN-2")
    own = np.array([[0.5, 0, 0, 0]], np.float32)
    await Pictures(inference(scorer)).take([plain, biased._replace(due=biased.due._replace(bias=own))])
    assert scorer.told == [[0, 0, 0, 0], [0.5, 0, 0, 0]]


def pumping(seed: int, rows: int) -> Series:
    """Pressure and current follow a flow that swings."""
    rng = np.random.default_rng(seed)
    flow = 25 + 3 * np.sin(np.arange(rows) / 9) + rng.normal(0, 0.3, rows)
    columns = (
        10 * flow + rng.normal(0, 4, rows),
        4 * flow + rng.normal(0, 2, rows),
        flow,
        np.full(rows, 25.0),
    )
    return as_series(f"SN-{seed}", np.stack(columns, 1).astype(np.float32))


def _follows(view: View) -> bool:
    batch, sight = view.due.batch, view.sight
    return sight.at_t > START + 640_000 and sight.device in batch.devices[: sight.place]


async def test_the_picture_of_a_device_with_a_past_shows_what_the_score_of_its_window_said() -> None:
    """Its pressure was off for a while before, which counts in the share, but no longer in the window."""
    channels = [ChannelSpec(c.name, c.role) for c in PUMP.channels]
    T, step = PUMP.window_rows, PUMP.stride_rows
    fit = SeriesConfig(practices=1)
    scorer = fit_series(PUMP.type, "1", channels, T, step, 1.0, [pumping(0, 1500)], fit=fit).scorer
    recipe = LaneRecipe(
        {PUMP.type: PUMP}, {PUMP.type: scorer.identity}, {PUMP.type: JudgeSettings()}, SilenceSettings(),
        memories={PUMP.type: scorer.lasting},
    )  # fmt: skip
    lane, devices = Lane(recipe, 1), {f"SN-{seed}": pumping(seed, 900).values for seed in (1, 2)}
    devices["SN-1"][500:530, 0] += 60
    devices["SN-1"][640:, 1] += 40
    ends = np.arange(T, 900, step)
    views, scores = [], []
    for some in np.array_split(ends, 9):
        windows = [(device, end) for end in some for device in devices]
        values = np.stack([devices[device][end - T : end] for device, end in windows])
        end_t = np.array([START + 1000 * end for _, end in windows])
        batch = WindowBatch(PUMP, [device for device, _ in windows], end_t, values, np.isfinite(values))
        due, _ = lane.begin(batch)
        said = answer(scorer, due.batch.values, due.batch.mask, due.bias, due.recalled)
        lane.judge(due.batch, said)
        found = lane.sights(PUMP.type)
        views += [View(P0, key, due, sight) for key, sight in found]
        scores += [said.score.rows(slice(sight.place, sight.place + 1)) for _, sight in found]
    # One that went to the scorer together with windows of its device before it.
    view, score = next(both for both in zip(views, scores, strict=True) if _follows(both[0]))
    pictures = Pictures(inference(scorer))
    await pictures.take([view])
    [kept_one] = pictures.waiting([P0])
    shown = read(kept_one.alert_id, kept_one.body)
    assert shown.anomaly == pytest.approx(float(score.anomaly[0]), rel=1e-5)
    weight = np.exp(np.arange(-15, 1) / 4.0)
    for channel in shown.channels:
        at = PUMP.index[channel.name]
        assert sum(channel.attention) == pytest.approx(float(score.share[0, at]), abs=1e-4)
        expected = np.average(np.array(channel.expected[-16:], np.float64), weights=weight)
        assert expected == pytest.approx(float(score.expected[0, at]), rel=1e-3)
    alone = view.due.batch.part([view.sight.place])
    anew = scorer.explain(alone.values, alone.mask)
    assert np.abs(anew.attention[0].sum(0) - score.share[0]).max() > 0.005


# -- over HTTP and onto paper ------------------------------------------------------------------------------


@pytest.fixture
async def alert(tmp_path: Path) -> AsyncIterator[tuple[Face, Alert]]:
    """A served alert with its explanation."""
    async with face(tmp_path) as service:
        opened = episode("SN-1")
        explained = keep(opened[0].alert.id, PUMP, AT, 2.4, values(), told(), 0)
        await service.outbox.record(Work(events=opened, now_ms=START, explanations=[explained]))
        yield service, opened[0].alert


async def test_the_api_answers_what_stands_behind_an_alert(alert: tuple[Face, Alert]) -> None:
    service, opened = alert
    answer = await service.http.get(f"/api/v1/alerts/{opened.id}/explanation")
    assert answer.status_code == 200
    assert answer.json() == json.loads(read(opened.id, kept().body).model_dump_json())


async def test_an_alert_without_explanation_and_an_unknown_alert_are_told_apart(
    service_without: Face,
) -> None:
    opened = episode("SN-1")
    await service_without.outbox.record(Work(events=opened, now_ms=START))
    unknown = alert_id("SN-2", MODEL.name, START)
    for key, kind in ((opened[0].alert.id, "no-explanation"), (unknown, "no-such-alert")):
        answer = await service_without.http.get(f"/api/v1/alerts/{key}/explanation")
        assert answer.status_code == 404
        assert answer.json()["type"] == f"urn:attendant:problem:{kind}"


@pytest.fixture
async def service_without(tmp_path: Path) -> AsyncIterator[Face]:
    async with face(tmp_path) as service:
        yield service


async def explain(service: Face, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`attendant explain` as a person calls it, in a process of its own."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "monitor.cli",
        "explain",
        *arguments,
        "--url",
        service.url,
    ]
    return await asyncio.to_thread(
        subprocess.run,
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment(folder),
    )


def pictures_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.png"))


def environment(folder: Path) -> dict[str, str]:
    """Its own font cache: building one is slow and says so."""
    return {"PATH": "/usr/bin", "MPLCONFIGDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.parametrize("name", ["last", "by id"])
async def test_explain_draws_a_picture(alert: tuple[Face, Alert], tmp_path: Path, name: str) -> None:
    service, opened = alert
    done = await explain(service, tmp_path, name if name == "last" else str(opened.id), "--out", "why.png")
    assert done.returncode == 0, done.stderr
    assert opened.summary.split(";")[0].rstrip(".") in done.stdout
    picture = (tmp_path / "why.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(picture[16:20], "big") > 1000


async def test_explain_prints_the_data_and_draws_nothing_unless_asked(
    alert: tuple[Face, Alert], tmp_path: Path
) -> None:
    service, opened = alert
    done = await explain(service, tmp_path, "last", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["alert"]["id"] == data["explanation"]["alert"] == str(opened.id)
    assert pictures_in(tmp_path) == []


async def test_explain_says_in_one_line_what_is_missing(service_without: Face, tmp_path: Path) -> None:
    nothing = await explain(service_without, tmp_path, "last")
    unknown = await explain(service_without, tmp_path, str(KEY))
    assert (nothing.returncode, unknown.returncode) == (1, 1)
    assert "no alert of a fault yet" in nothing.stderr
    assert "There is no alert" in unknown.stderr
    assert "Traceback" not in nothing.stderr + unknown.stderr


async def test_a_picture_that_cannot_be_written_is_said_in_one_line(
    alert: tuple[Face, Alert], tmp_path: Path
) -> None:
    done = await explain(alert[0], tmp_path, "last", "--out", "nowhere/why.png")
    assert done.returncode == 1
    assert "nowhere/why.png: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
