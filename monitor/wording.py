"""Units and moments in words, for sentences and pictures that people read."""

import re
from datetime import UTC, datetime

_SPELT = {
    "Cel": "°C",
    "1": "",
    "[ppm]": "ppm",
    "uL": "µL",
    "um": "µm",
    "uS/cm": "µS/cm",
    "uV": "µV",
    "Ohm": "Ω",
    "kOhm": "kΩ",
    "dB[mW]": "dBm",
    "m/s2": "m/s²",
}


def readable_unit(ucum: str) -> str:
    """`mm[Hg]` → `mmHg`, `Cel` → `°C`; what is not known is shown as it is, without brackets."""
    if ucum in _SPELT:
        return _SPELT[ucum]
    return re.sub(r"[\[\]]", "", ucum).replace(".", "·")


def clock(at: datetime) -> str:
    """`06:10:00 UTC on 1 May 2027`."""
    utc = at.astimezone(UTC)
    return f"{utc:%H:%M:%S} UTC on {utc.day} {utc:%B %Y}"
