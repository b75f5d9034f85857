"""Faults and look-alikes of the CT scanner. Data only; what they do is in `ct.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

HOUR, DAY = 3600.0, 86400.0
RAMP = (1.0 * HOUR, 3.0 * HOUR)

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            "tube_vacuum",
            "X-ray tube vacuum degraded",
            ("arc_count", "kv_deviation", "scan_delay"),
            Onset.RAMP,
            21 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "filament_wear",
            "Filament worn thin",
            ("filament_correction", "ma_deviation"),
            Onset.RAMP,
            90 * DAY,
            14 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "anode_bearing_wear",
            "Anode bearing worn",
            ("rotor_runup", "rotor_current", "gantry_vibration", "oil_temp"),
            Onset.RAMP,
            30 * DAY,
            14 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "oil_cooling",
            "Oil cooling weak (pump, leak, fouled exchanger)",
            ("oil_flow", "oil_pump_current", "oil_temp", "scan_delay"),
            Onset.RAMP,
            14 * DAY,
            5 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "gantry_wear",
            "Gantry bearing or slip ring worn",
            ("data_retries", "gantry_vibration", "gantry_motor_temp", "rotation_deviation"),
            Onset.RAMP,
            30 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "detector_temperature",
            "Detector temperature control failed",
            ("detector_temp", "air_ratio"),
            Onset.RAMP,
            4 * DAY,
            DAY,
            RAMP,
            demo=False,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec(
            "cold_start", "Cold start and warm-up", ("oil_cooling", "tube_vacuum"), (HOUR, 4.0 * HOUR), 0.7
        ),
        LookalikeSpec(
            "trauma_surge", "Many casualties at once", ("oil_cooling",), (0.75 * HOUR, 3.0 * HOUR), 0.6
        ),
        LookalikeSpec(
            "high_current_protocol",
            "New protocol with a high tube current",
            ("oil_cooling", "filament_wear"),
            (2.0 * HOUR, 8.0 * HOUR),
            0.4,
        ),
        LookalikeSpec(
            "tube_replacement",
            "X-ray tube replaced",
            ("filament_wear", "anode_bearing_wear"),
            (4.0 * HOUR, 6.0 * HOUR),
            0.1,
        ),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (120.0, 900.0), 1.0),
    )
}
