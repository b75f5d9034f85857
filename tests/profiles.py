"""Profiles of device types that only tests know."""

from collections.abc import Sequence


def gauges_profile(device_type: str, channels: Sequence[str], limit: int) -> str:
    """TOML of a type without settings and states: a reading a second of each channel, within ± `limit`."""
    head = f"""
type = "{device_type}"
title = "{device_type}"
grid_ms = 1000
window_rows = 64
stride_rows = 2
min_rows = 24
lateness_ms = 1000
silent_after_ms = 600000
"""
    return head + "".join(
        f'[[channels]]\nname = "{name}"\ntitle = "{name}"\nunit = "1"\nperiod_ms = 1000\n'
        f"low = {-limit}\nhigh = {limit}\n"
        for name in channels
    )
