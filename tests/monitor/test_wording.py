"""What people read: units as engineers write them."""

import re

import pytest

from monitor.wording import readable_unit
from streams.devices import load_profiles


@pytest.mark.parametrize(
    ("ucum", "want"),
    [
        ("mm[Hg]", "mmHg"),
        ("mm[Hg]/min", "mmHg/min"),
        ("cm[H2O]", "cmH2O"),
        ("Cel", "°C"),
        ("um", "µm"),
        ("mA.h", "mA·h"),
        ("kOhm", "kΩ"),
        ("dB[mW]", "dBm"),
        ("m/s2", "m/s²"),
        ("%", "%"),
        ("1", ""),
    ],
)
def test_a_unit_reads_as_engineers_write_it(ucum: str, want: str) -> None:
    assert readable_unit(ucum) == want


def test_no_unit_of_a_shipped_profile_is_shown_in_codes() -> None:
    units = {channel.unit for profile in load_profiles(()).values() for channel in profile.channels}

    codes = re.compile(r"[\[\]]|Cel|Ohm|\bu[A-Z]|\bum\b|s2\b")
    assert [unit for unit in units if codes.search(readable_unit(unit))] == []
