"""One sentence for people: what is wrong with which device, in plain English. Decides nothing."""

import math

from monitor.alerts.alert import ChannelEvidence, DeviceInfo, moment
from monitor.findings import Action, Finding, Kind, Reason
from monitor.wording import readable_unit

_ENDED = {Reason.SERVICED: "Ended by maintenance", Reason.FORGOTTEN: "No longer watched"}


def summarize(finding: Finding, device: DeviceInfo, channels: tuple[ChannelEvidence, ...]) -> str:
    """What is wrong, in plain English."""
    resolved = finding.action is Action.RESOLVE
    ended = _ENDED.get(finding.reason, "Cleared")
    lead = f"{ended} after {_duration(finding.at_t - finding.started_t)}: " if resolved else ""
    name = f"{device.title or device.type} {device.id}"
    if finding.kind is Kind.FAULT:
        return lead + _fault(name, channels, resolved)
    since = f"{moment(finding.started_t):%H:%M:%S} UTC"
    if finding.kind is Kind.SILENT:
        return lead + (
            f"{name} sent nothing since {since}." if resolved else f"{name} has sent nothing since {since}."
        )
    if finding.kind is Kind.STREAM_SILENT:
        return (
            lead
            + f"{finding.count} devices fell silent together at {since}; network or broker, not the devices."
        )
    what = "alert deliveries" if finding.count > 1 else "alert delivery"
    verb = ("were" if resolved else "are") if finding.count > 1 else ("was" if resolved else "is")
    return lead + f"{finding.count} {what} to {device.id} {verb} undelivered since {since}."


def _fault(name: str, channels: tuple[ChannelEvidence, ...], resolved: bool) -> str:
    verb = "was" if resolved else "is"
    if not channels:
        return f"{name} {'behaved' if resolved else 'behaves'} unlike its model expects."
    top, *others = channels
    also = [channel.title for channel in others[:2] if channel.share >= 0.1]
    more = f"; {' and '.join(also)} {'deviate' if len(also) > 1 else 'deviates'} too" if also else ""
    if resolved:
        more = more.replace("deviates", "deviated").replace("deviate ", "deviated ")
    return f"{top.title} {verb} {_deviation(top)} on {name}{more}."


def _deviation(channel: ChannelEvidence) -> str:
    if channel.observed is None or channel.expected is None:
        return "unlike its model expects"
    difference = abs(channel.observed - channel.expected)
    unit = f"{readable_unit(channel.unit)} ".lstrip()
    if difference < 1e-6:
        return f"moving unlike its model expects (at {channel.observed:g} {unit}".rstrip() + ")"
    # Two digits of the difference, and the readings with the same decimals, so that the sum adds up.
    decimals = min(max(1 - math.floor(math.log10(difference)), 0), 6)
    seen, want = round(channel.observed, decimals), round(channel.expected, decimals)
    side = "above" if seen > want else "below"
    return f"{abs(seen - want):.{decimals}f} {unit}{side} expected ({seen:.{decimals}f} against {want:.{decimals}f})"


def _duration(ms: int) -> str:
    seconds = max(ms, 0) // 1000
    for size, name in ((86_400, "day"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}{'s' if name == 'day' else ''}"
    return f"{seconds} s"
