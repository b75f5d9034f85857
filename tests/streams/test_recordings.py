"""Recordings: what is read from files of the shared form, what is said of bad ones, and what is played."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from streams.blocks import SampleBlock
from streams.devices import Channel, DeviceProfile
from streams.recordings import (
    Episode,
    Recording,
    RecordingError,
    Segment,
    find_recordings,
    read_recording,
    recording_messages,
    write_recording,
)
from streams.records import CONTENT_TYPE, FRAME, JSON, Decoder
from streams.transport import Message

NAN = float("nan")


def parquet(file: Path, metadata: dict[str, str] | None = None, **columns: object) -> Path:
    pyarrow.parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), file, compression="zstd")
    return file


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def wave(n: int, rate_hz: float | None, **changes: object) -> Recording:
    step = 1000.0 / (rate_hz or 1.0)
    fields: dict[str, object] = {
        "series": "wave",
        "channels": ("p",),
        "t_ms": np.arange(n) * step,
        "values": np.arange(n, dtype=np.float32)[:, None],
        "test": np.ones(n, np.bool_),
        "label": np.zeros(n, np.bool_),
        "rate_hz": rate_hz,
    }
    return Recording(**(fields | changes))  # type: ignore[arg-type]  # fields by name, of several types


def profile(*names: str) -> DeviceProfile:
    channels = [
        {"name": name, "title": name, "unit": "1", "period_ms": 10, "low": -1e6, "high": 1e6}
        for name in names
    ]
    return DeviceProfile(
        type="test-vent",
        title="Ventilator",
        grid_ms=50,
        window_rows=64,
        stride_rows=4,
        min_rows=16,
        lateness_ms=400,
        silent_after_ms=30_000,
        channels=tuple(Channel.model_validate(channel) for channel in channels),
    )


def decoded(of: DeviceProfile, messages: list[tuple[int, bytes]], content_type: str) -> SampleBlock:
    headers = [(CONTENT_TYPE, content_type.encode())]
    result = Decoder({of.type: of}).decode(
        [Message("t", 0, i, b"d", value, headers) for i, (_, value) in enumerate(messages)]
    )
    assert result.rejections == []
    (block,) = result.blocks.values()
    return block


# Reading


def test_row_numbers_become_times_that_go_on_from_train_to_test(tmp_path: Path) -> None:
    file = parquet(
        tmp_path / "leak-100hz.parquet",
        {"channels": '["p"]', "source": "a test lung"},
        t=np.array([0, 1, 2, 0, 1], np.int32),
        split=pa.array(["train", "train", "train", "test", "test"]).dictionary_encode(),
        p=floats(1, 2, 3, 4, 5),
        label=np.array([0, 0, 0, 0, 1], np.int8),
    )

    recording = read_recording(file)

    assert recording.t_ms.tolist() == [0, 10, 20, 30, 40]
    assert recording.values.tolist() == [[1], [2], [3], [4], [5]]
    assert recording.split.tolist() == ["train"] * 3 + ["test"] * 2
    assert (recording.series, recording.channels, recording.rate_hz) == ("leak-100hz", ("p",), 100.0)
    assert recording.metadata == {"source": "a test lung"}
    assert recording.part("train").t_ms.tolist() == [0, 10, 20]


@pytest.mark.parametrize(
    ("name", "metadata", "rate_hz", "expected"),
    [
        ("a-133hz", {}, None, 133.0),
        ("a_12.5Hz", {}, None, 12.5),
        ("a-133hz", {"rate_hz": "100"}, None, 100.0),
        ("a-133hz", {"rate_hz": "100"}, 50.0, 50.0),
    ],
)
def test_the_rate_comes_from_the_caller_the_metadata_or_the_name_in_this_order(
    tmp_path: Path, name: str, metadata: dict[str, str], rate_hz: float | None, expected: float
) -> None:
    file = parquet(tmp_path / f"{name}.parquet", metadata, p=floats(1, 2))

    recording = read_recording(file, rate_hz=rate_hz)

    assert recording.rate_hz == expected
    assert recording.t_ms.tolist() == pytest.approx([0, 1000 / expected])


def test_a_csv_with_time_stamps_is_read_and_empty_cells_are_missing(tmp_path: Path) -> None:
    file = tmp_path / "pump.csv"
    file.write_text(
        "timestamp,pressure,volume,mode,fault,label\n"
        "2026-11-23T08:00:00.5Z,41.5,7,run,,0\n"
        "2026-11-23T09:00:01.5+01:00,,8,run,occlusion,1\n"
    )

    recording = read_recording(file)

    assert recording.channels == ("pressure", "volume")
    assert recording.t_ms.tolist() == [1795420800500.0, 1795420801500.0]
    assert np.array_equal(recording.values, [[41.5, 7], [NAN, 8]], equal_nan=True)
    assert recording.mode == ("run", "run")
    assert recording.episodes() == [Episode(1, 2, 1795420801500.0, 1795420801500.0, (), "occlusion")]
    assert recording.test.all()


def test_causes_beside_the_file_name_the_channels_of_an_episode(tmp_path: Path) -> None:
    n = 12
    file = parquet(
        tmp_path / "smd.parquet",
        split=pa.array(["train"] * 4 + ["test"] * 8),
        a=np.zeros(n, np.float32),
        b=np.zeros(n, np.float32),
        label=np.array([0] * 6 + [1, 1, 0, 0, 1, 0], np.int8),
    )
    causes = {"segments": [{"start": 2, "end": 4, "channels": ["b", "a"], "idx": [1, 0]}]}
    (tmp_path / "smd.rootcause.json").write_text(json.dumps(causes))

    recording = read_recording(file, rate_hz=1)

    assert recording.segments == (Segment(2, 4, ("b", "a")),)
    assert recording.episodes() == [
        Episode(6, 8, 6000.0, 7000.0, ("b", "a"), ""),
        Episode(10, 11, 10000.0, 10000.0, (), ""),
    ]
    assert recording.part("test").episodes()[0].channels == ("b", "a")


def test_only_float_columns_of_a_parquet_are_channels_unless_others_are_asked_for(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "flow": floats(1, 2),
        "vent_bn": np.array([1, 2], np.int32),
        "label_beat": np.array([0, 1], np.int8),
        "label": np.array([0, 1], np.int8),
    }
    file = parquet(tmp_path / "x-50hz.parquet", **columns)

    assert read_recording(file).channels == ("flow",)
    assert read_recording(file, channels=["vent_bn"]).values.tolist() == [[1], [2]]


def test_folders_are_searched_for_recordings(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.csv", "a.rootcause.json", "README.md"):
        (tmp_path / name).touch()

    assert [file.name for file in find_recordings([tmp_path, tmp_path / "b.parquet"])] == [
        "a.csv",
        "b.parquet",
        "b.parquet",
    ]
    with pytest.raises(RecordingError, match="no recording is there"):
        find_recordings([tmp_path / "c.parquet"])


BAD = {
    "rate": ("p\n1\n", "neither a column timestamp nor a rate"),
    "words-1hz": ("p,q\n1,x\n2,y\n", None),
    "label-1hz": ("p,label\n1,0\n2,2\n", "label in row 1 is 2"),
    "nolabel-1hz": ("p,label\n1,0\n2,\n", "label in row 1 is nan"),
    "split-1hz": ("p,split\n1,train\n2,dev\n", "column split holds 'dev'"),
    "mixed-1hz": ("p,t,split\n1,0,train\n2,0,test\n3,1,train\n", "time doesn't go on in row 2"),
    "time-1hz": ("p,timestamp\n1,2026-01-02\n2,2026-01-01\n", "time doesn't go on in row 1"),
    "stamp-1hz": ("p,timestamp\n1,yesterday\n", "column timestamp"),
    "empty-1hz": ("p,label\n", "has no rows"),
    "bare-1hz": ("t,label\n0,0\n", "has no channel"),
    "huge-1hz": ("p\n1\n1e39\n", "an infinite value in row 1"),
    "twice-1hz": ("p,p\n1,2\n", "has column p twice"),
    "ragged-1hz": ("p,q\n1\n", "is no csv table"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_with_what_is_wrong_and_how_to_mend_it(tmp_path: Path, name: str) -> None:
    text, problem = BAD[name]
    file = tmp_path / f"{name}.csv"
    file.write_text(text)
    if problem is None:
        assert read_recording(file).channels == ("p",)
        return

    with pytest.raises(RecordingError) as caught:
        read_recording(file)

    assert problem in caught.value.problem
    assert str(caught.value).startswith(str(file))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content"), [("x.parquet", b"PAR1 not really"), ("x.wav", b"RIFF"), ("gone.parquet", None)]
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(RecordingError, match=name):
        read_recording(tmp_path / name)


@pytest.mark.parametrize(
    "causes",
    [
        "{",
        "[]",
        '{"segments":[{"start":0,"end":1}]}',
        '{"segments":[{"start":0,"end":9,"channels":["p"]}]}',
        '{"segments":[{"start":0,"end":1,"channels":["q"]}]}',
        '{"segments":[{"start":1,"end":1,"channels":["p"]}]}',
    ],
)
def test_causes_that_do_not_fit_are_refused(tmp_path: Path, causes: str) -> None:
    file = parquet(tmp_path / "x-1hz.parquet", p=floats(1, 2, 3))
    (tmp_path / "x-1hz.rootcause.json").write_text(causes)

    with pytest.raises(RecordingError, match="rootcause"):
        read_recording(file)


# Writing


@pytest.mark.parametrize("rate_hz", [133.0, None])
def test_what_is_written_is_read_again(tmp_path: Path, rate_hz: float | None) -> None:
    n = 6
    written = wave(
        n,
        rate_hz,
        channels=("p", "q"),
        t_ms=np.arange(n) * 1000 / 133 if rate_hz else 1.7e12 + np.array([0, 1, 1, 2.5, 900, 901]),
        values=np.array([[1, NAN], [2, 3], [NAN, NAN], [4, 5], [6, 7], [8, 9]], np.float32),
        test=np.arange(n) > 2,
        label=np.arange(n) == 4,
        segments=(Segment(1, 2, ("q", "p")),),
        mode=("off", "", "run", "run", "run", "run"),
        fault=("", "", "", "", "leak", ""),
        truth={"faults": [{"name": "leak"}]},
        metadata={"device_type": "test-vent"},
    )

    read = read_recording(write_recording(written, tmp_path / "runs" / "wave.parquet"))

    np.testing.assert_allclose(read.t_ms, written.t_ms, atol=1e-6, rtol=0)
    assert np.array_equal(read.values, written.values, equal_nan=True)
    for name in ("series", "channels", "rate_hz", "segments", "mode", "fault", "truth", "metadata"):
        assert getattr(read, name) == getattr(written, name)
    assert read.test.tolist() == written.test.tolist()
    assert read.label.tolist() == written.label.tolist()
    assert read.values.dtype == np.float32


def test_a_recording_is_written_as_parquet_only(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="parquet"):
        write_recording(wave(3, 1.0), tmp_path / "x.csv")


# Playing


@pytest.mark.parametrize("rate_hz", [100.0, 133.0])
def test_a_waveform_is_played_in_frames_of_a_tenth_of_a_second(rate_hz: float) -> None:
    of, start_ms = profile("flow", "p"), 1_700_000_000_000

    messages = list(recording_messages(wave(1000, rate_hz), of, "d", start_ms))
    block = decoded(of, messages, FRAME)

    assert len(messages) == pytest.approx(1000 / rate_hz * 10, rel=0.05)
    assert block.t.tolist() == [round(start_ms + i * 1000 / rate_hz) for i in range(1000)]
    assert block.values[:, 1].tolist() == list(range(1000))
    assert np.isnan(block.values[:, 0]).all()
    assert [t for t, _ in messages] == sorted(t for t, _ in messages)
    first = decoded(of, messages[:1], FRAME)
    assert messages[0][0] == first.t[-1]  # it is sent once its last sample is there


def test_a_slow_recording_is_played_sample_by_sample_without_what_it_does_not_say() -> None:
    of = profile("p", "q")
    slow = wave(3, 1.0, channels=("p", "q"), values=np.array([[1, NAN], [NAN, NAN], [2, 3]], np.float32))

    messages = list(recording_messages(slow, of, "d", 1_700_000_000_000))

    assert [json.loads(value) for _, value in messages] == [
        {"v": 1, "device": "d", "type": "test-vent", "t": 1_700_000_000_000, "seq": 0, "values": {"p": 1.0}},
        {
            "v": 1,
            "device": "d",
            "type": "test-vent",
            "t": 1_700_000_002_000,
            "seq": 2,
            "values": {"p": 2.0, "q": 3.0},
        },
    ]
    assert [t for t, _ in messages] == [1_700_000_000_000, 1_700_000_002_000]


def test_frames_keep_irregular_times_and_leave_missing_rows_out() -> None:
    of = profile("p")
    times = np.array([0, 10, 20, 50, 60, 61, 61, 5000, 5010.5])
    values = np.array([0, 1, 2, 3, NAN, 5, 6, 7, 8], np.float32)[:, None]

    block = decoded(
        of, list(recording_messages(wave(9, None, t_ms=times, values=values), of, "d", 10**12, FRAME)), FRAME
    )

    assert (block.t - 10**12).tolist() == [0, 10, 20, 50, 61, 61, 5000, 5010]
    assert block.values[:, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("content_type", [JSON, FRAME])
def test_both_content_types_say_the_same(content_type: str) -> None:
    of = profile("p")

    block = decoded(
        of, list(recording_messages(wave(50, 100.0), of, "d", 10**12, content_type)), content_type
    )

    assert block.values[:, 0].tolist() == list(range(50))
    assert block.t.tolist() == [10**12 + 10 * i for i in range(50)]
    assert block.seq.tolist() == list(range(50))


def test_a_recording_of_another_device_is_refused() -> None:
    with pytest.raises(RecordingError, match="test-vent has no channel p"):
        recording_messages(wave(3, 1.0), profile("flow"), "d", 0)
