"""The figure of an alert: traces with expected bands, the attention heat map beside them, what it may be.

For somebody who has never seen the system: everything drawn is named in words. Draws what `monitor.explanations` and
the alert say and computes nothing of its own. Imports matplotlib, so only the command that draws may import it. Colours
are from Okabe and Ito's palette, which colour-blind people can tell apart; what lies outside its band also has its own
mark.
"""

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from monitor.alerts import Alert, ChannelEvidence
from monitor.explanations import AlertExplanation, ExplainedChannel
from monitor.wording import clock, readable_unit

INK, MUTED, FAINT = "#1a1a1a", "#5f6368", "#d9dce0"
BLUE, VERMILLION, SKY = "#0072B2", "#D55E00", "#56B4E9"
BAND = "#dfe9f2"
HEAT: Final = LinearSegmentedColormap.from_list(
    "attention", ["#fbfaf7", "#fbd9a0", "#E69F00", "#A14A00", "#4a1c00"]
)
"""White to dark brown by lightness alone, so that it reads in grey, too."""

MOST_ROWS, FEWEST_ROWS = 6, 3
WORTH_A_ROW = 0.01
"""A channel with less of the share and of the attention has no row of its own."""
EDGE, LABEL = 0.018, -0.465
"""Left edge of the words: of the figure, and of the labels in widths of a trace."""
WIDTH_IN, ROW_IN, TOP_IN, REST_IN, BOTTOM_IN = 13.0, 1.12, 1.25, 0.75, 2.45
STYLE: Final = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.edgecolor": FAINT, "axes.linewidth": 0.8, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 8, "ytick.labelsize": 8,
}  # fmt: skip

Floats = NDArray[np.float64]


def draw(alert: Alert, told: AlertExplanation, out: Path) -> None:
    """Write the picture as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    with mpl.rc_context(STYLE):  # type: ignore[arg-type] # its keys are a Literal of hundreds
        figure = _figure(alert, told)
        FigureCanvasAgg(figure).print_png(str(out), metadata={"Title": alert.summary[:200]})


def _figure(alert: Alert, told: AlertExplanation) -> Figure:
    rows = _rows(alert, told)
    headline = textwrap.wrap(alert.summary, 110)[:2]
    top = TOP_IN + 0.26 * (len(headline) - 1)
    height = top + len(rows) * ROW_IN + REST_IN + BOTTOM_IN
    figure = Figure(figsize=(WIDTH_IN, height), dpi=110, facecolor="white")
    _headline(figure, headline, alert, told, height)
    grid = GridSpec(
        len(rows) + 1, 2, figure, width_ratios=(1.25, 1.0), height_ratios=[*[1.0] * len(rows), 0.32],
        left=0.235, right=0.985, top=1 - top / height, bottom=BOTTOM_IN / height, hspace=0.16, wspace=0.07,
    )  # fmt: skip
    hottest = max((max(channel.attention) for channel in told.channels), default=1.0) or 1.0
    norm = Normalize(0.0, hottest)
    for place, (evidence, channel) in enumerate(rows):
        trace, heat = figure.add_subplot(grid[place, 0]), figure.add_subplot(grid[place, 1])
        _trace(trace, told, channel, evidence, place)
        _strip(heat, told, np.array(channel.attention), norm)
        _moments(trace, alert, told, named=place == 0)
        if place == 0:
            trace.set_title(
                "What the device sent, against what was expected",
                loc="left",
                fontsize=9.5,
                color=MUTED,
                pad=22,
            )
            heat.set_title(
                "Where the model sees the fault (attention)", loc="left", fontsize=9.5, color=MUTED, pad=22
            )
    _others(figure, grid, told, [channel for _, channel in rows], norm)
    _legend(figure, norm, height)
    _hypotheses(figure, alert, height)
    return figure


Row = tuple[ChannelEvidence | None, ExplainedChannel]


def _rows(alert: Alert, told: AlertExplanation) -> list[Row]:
    """Channels with a row of their own: those named in the alert in their order, then the most attended."""
    known = {channel.name: channel for channel in told.channels}
    named = [(evidence, known[evidence.name]) for evidence in alert.channels if evidence.name in known]
    taken = {channel.name for _, channel in named}
    rest: list[Row] = [(None, channel) for channel in told.channels if channel.name not in taken]
    ranked: list[Row] = [*named, *rest]
    worth = [
        row for row in ranked
        if (row[0] is not None and row[0].share >= WORTH_A_ROW) or sum(row[1].attention) >= WORTH_A_ROW
    ]  # fmt: skip
    fill = [row for row in ranked if row not in worth]
    return (worth + fill[: max(0, FEWEST_ROWS - len(worth))])[:MOST_ROWS]


# -- words at the top ----------------------------------------------------------------------------------


def _headline(
    figure: Figure, lines: Sequence[str], alert: Alert, told: AlertExplanation, height: float
) -> None:
    """What, where, since when."""
    figure.text(
        EDGE, 1 - 0.16 / height, "\n".join(lines), fontsize=14, fontweight="bold", va="top", linespacing=1.25
    )
    device = alert.device
    where = f" in {device.location}" if device.location else ""
    facts = (
        f"{device.title or device.type} {device.id}{where}",
        f"since {clock(alert.started_at)}",
        f"{alert.severity.value}, {alert.status.value}",
        f"shown: {told.at:%H:%M:%S} UTC, {told.anomaly:.1f} × the alarm threshold",
    )
    below = 1 - (0.2 + 0.26 * len(lines)) / height
    figure.text(EDGE, below, "   ·   ".join(facts), fontsize=9.5, color=MUTED, va="top")


# -- rows ----------------------------------------------------------------------------------------------


def _trace(
    axes: Axes,
    told: AlertExplanation,
    channel: ExplainedChannel,
    evidence: ChannelEvidence | None,
    place: int,
) -> None:
    t = _row_times(told)
    values, expected, low, high = (
        _floats(x) for x in (channel.values, channel.expected, channel.low, channel.high)
    )
    axes.fill_between(t, low, high, step="mid", color=BAND, linewidth=0)
    axes.plot(t, expected, color=BLUE, linewidth=1.0, linestyle=(0, (4, 2)), drawstyle="steps-mid")
    seen = np.flatnonzero(np.isfinite(values))
    for run in _runs(seen):
        axes.plot(t[run], values[run], color=INK, linewidth=1.1)
    outside = seen[(values[seen] < low[seen]) | (values[seen] > high[seen])]
    inside = np.setdiff1d(seen, outside)
    axes.plot(t[inside], values[inside], ".", color=INK, markersize=2.5)
    axes.plot(t[outside], values[outside], "D", color=VERMILLION, markersize=2.8)
    if evidence is not None and evidence.since is not None and told.started_at <= evidence.since < told.at:
        axes.plot([date2num(evidence.since)], [1.0], "v", color=VERMILLION, markersize=7, clip_on=False,
                  transform=axes.get_xaxis_transform(), zorder=5)  # fmt: skip
    _time_axis(axes, told)
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    _label(axes, channel, evidence, place)


def _label(axes: Axes, channel: ExplainedChannel, evidence: ChannelEvidence | None, place: int) -> None:
    """Rank, name and unit of a channel, and in words what it does."""
    unit = readable_unit(channel.unit)
    lines = textwrap.wrap(f"{place + 1}  {channel.title}" + (f" ({unit})" if unit else ""), 27)[:2]
    _beside(axes, 1.0, "\n".join(lines), fontsize=9.5, fontweight="bold")
    told = "\n".join(_facts(channel, evidence))
    _beside(axes, 0.95 - 0.18 * len(lines), told, fontsize=8, color=MUTED, linespacing=1.3)


def _beside(axes: Axes, y: float, text: str, va: str = "top", **style: Any) -> None:
    """Words to the left of a trace."""
    axes.text(LABEL, y, text, transform=axes.transAxes, va=va, clip_on=False, **style)


def _facts(channel: ExplainedChannel, evidence: ChannelEvidence | None) -> Iterator[str]:
    if evidence is None:
        yield f"{sum(channel.attention):.0%} of the attention here"
        return
    share = f"{evidence.share:.0%}" if evidence.share >= WORTH_A_ROW else "less than 1%"
    yield f"carries {share} of the anomaly"
    if evidence.observed is not None and evidence.expected is not None and evidence.direction:
        side = "above" if evidence.direction > 0 else "below"
        yield f"{side} expected: {evidence.observed:.4g}, not {evidence.expected:.4g}"
    elif evidence.share >= WORTH_A_ROW:
        yield "level as expected"
    if evidence.since is not None and evidence.share >= WORTH_A_ROW:
        yield f"deviates since {evidence.since:%H:%M:%S}"


def _strip(axes: Axes, told: AlertExplanation, attention: Floats, norm: Normalize) -> None:
    begin, end = date2num(told.started_at), date2num(told.at)
    axes.imshow(attention[None], aspect="auto", cmap=HEAT, norm=norm, extent=(begin, end, 0.0, 1.0))
    for p, part in enumerate(attention):
        if part >= 0.05:
            x = begin + (p + 0.5) * (end - begin) / len(attention)
            axes.text(x, 0.5, f"{part:.0%}", ha="center", va="center", fontsize=8,
                      color="white" if norm(part) > 0.55 else INK)  # fmt: skip
    _time_axis(axes, told)
    axes.set_yticks([])


def _others(
    figure: Figure, grid: GridSpec, told: AlertExplanation, shown: Sequence[ExplainedChannel], norm: Normalize
) -> None:
    """Everything without a row of its own, summed up, and the time axes below both columns."""
    names = {channel.name for channel in shown}
    others = [channel for channel in told.channels if channel.name not in names]
    left, right = figure.add_subplot(grid[-1, 0]), figure.add_subplot(grid[-1, 1])
    patches = told.rows // told.patch_rows
    total = np.sum([channel.attention for channel in others], axis=0) if others else np.zeros(patches)
    _strip(right, told, total, norm)
    _time_axis(left, told)
    left.set_yticks([])
    listed = ", ".join(channel.title for channel in others) or "none"
    left.text(0.008, 0.5, textwrap.shorten(listed, 96, placeholder=" …"), transform=left.transAxes, fontsize=7.5,
              color=MUTED, va="center")  # fmt: skip
    several = f"The other {len(others)} channels together" if len(others) > 1 else "The other channel"
    _beside(left, 0.5, several, "center", fontsize=8.5)
    for axes in (left, right):
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(
            f"time of {told.at:%d %B %Y}, UTC; right edge: {told.at:%H:%M:%S}", fontsize=8, color=MUTED
        )


def _moments(axes: Axes, alert: Alert, told: AlertExplanation, *, named: bool) -> None:
    """Vertical lines where the episode began and where the alert went out, if the window holds them."""
    for at, name, lift in ((alert.started_at, "first anomalous", 3), (alert.detected_at, "alert sent", 12)):
        if not told.started_at <= at <= told.at:
            continue
        axes.axvline(date2num(at), color=MUTED, linewidth=0.9, linestyle=":")
        if named:
            # Each at a height of its own: the two are often seconds apart.
            axes.annotate(
                name, (date2num(at), 1.0), xycoords=axes.get_xaxis_transform(), xytext=(-2, lift),
                textcoords="offset points", fontsize=7.5, color=MUTED, ha="right",
            )  # fmt: skip


def _time_axis(axes: Axes, told: AlertExplanation) -> None:
    axes.set_xlim(date2num(told.started_at), date2num(told.at))
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S", tz=UTC))
    axes.tick_params(labelbottom=False, length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


# -- below ---------------------------------------------------------------------------------------------


def _legend(figure: Figure, norm: Normalize, height: float) -> None:
    handles = [
        Line2D([], [], color=INK, linewidth=1.1, marker=".", markersize=4, label="what the device sent"),
        Line2D(
            [],
            [],
            color=VERMILLION,
            marker="D",
            linestyle="",
            markersize=4,
            label="a reading outside its band",
        ),
        Line2D([], [], color=BLUE, linestyle=(0, (4, 2)), label="what a healthy device would send"),
        Patch(color=BAND, label="band in which nearly all its readings would lie"),
        Line2D(
            [],
            [],
            color=VERMILLION,
            marker="v",
            linestyle="",
            markersize=7,
            label="the channel deviates since here",
        ),
    ]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.012, (BOTTOM_IN - 0.62) / height), frameon=False,
        fontsize=8.5, title="How to read it", alignment="left", title_fontproperties={"weight": "bold", "size": 9.5},
    )  # fmt: skip
    bar = figure.add_axes((0.022, 0.34 / height, 0.16, 0.1 / height))
    bar.imshow(np.linspace(0, 1, 128)[None], aspect="auto", cmap=HEAT, extent=(0, 1, 0, 1))
    bar.set_yticks([])
    bar.set_xticks([0, 1], ["0", f"{norm.vmax or 1.0:.0%} of all attention"])
    bar.tick_params(length=0, labelsize=7.5)
    bar.set_title("darker: more of the fault is seen here", fontsize=8, loc="left", pad=3)


def _hypotheses(figure: Figure, alert: Alert, height: float) -> None:
    x, y = 0.36, (BOTTOM_IN - 0.68) / height
    figure.text(x, y, "What it may be, and what to do first", fontsize=9.5, fontweight="bold", va="top")
    y -= 0.26 / height
    if not alert.hypotheses:
        text = "No known fault of this device type explains it: look at the channels above."
        figure.text(x, y, text, fontsize=9, va="top")
        return
    for hypothesis in alert.hypotheses:
        _bar(figure, x, y, hypothesis.confidence, height)
        figure.text(x + 0.115, y, hypothesis.title, fontsize=9, fontweight="bold", va="top")
        action = textwrap.shorten(hypothesis.action, 230, placeholder=" …")
        lines = textwrap.wrap(action, 118)
        figure.text(
            x + 0.115,
            y - 0.17 / height,
            "\n".join(lines),
            fontsize=8,
            color=MUTED,
            va="top",
            linespacing=1.25,
        )
        y -= (0.27 + 0.155 * len(lines)) / height
    rest = max(0.0, 1.0 - sum(hypothesis.confidence for hypothesis in alert.hypotheses))
    figure.text(
        x, y, f"{rest:.0%} for everything else, unknown faults included", fontsize=8, color=MUTED, va="top"
    )


def _bar(figure: Figure, x: float, y: float, confidence: float, height: float) -> None:
    axes = figure.add_axes((x, y - 0.13 / height, 0.07, 0.11 / height))
    axes.barh([0], [1.0], color="#eef0f2")
    axes.barh([0], [confidence], color=BLUE)
    axes.set_xlim(0, 1)
    axes.axis("off")
    figure.text(x + 0.075, y, f"{confidence:.0%}", fontsize=9, va="top")


# -- numbers -------------------------------------------------------------------------------------------


def _row_times(told: AlertExplanation) -> Floats:
    """The middle of every row, in matplotlib's days."""
    step = timedelta(seconds=told.row_s)
    return np.array([date2num(told.started_at + (row + 0.5) * step) for row in range(told.rows)])


def _floats(x: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in x])


def _runs(seen: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Readings that belong together: a gap of more than three usual steps is a gap in the line, too."""
    if len(seen) < 2:
        return [seen]
    steps = np.diff(seen)
    return list(np.split(seen, np.flatnonzero(steps > 3 * np.median(steps)) + 1))
