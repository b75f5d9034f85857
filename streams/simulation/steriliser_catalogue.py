"""Faults and look-alikes of the steam steriliser. Data only; what they do is in `steriliser.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

DAY = 86400.0
RAMP = (300.0, 900.0)

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            "heater_element_out",
            "Heater element of the steam generator out",
            ("heater_current", "heater_duty", "heat_up_time", "steam_supply_pressure"),
            Onset.STEP,
            10.0,
            6 * 3600.0,
            (5.0, 20.0),
            demo=False,
        ),
        FaultSpec(
            "air_leak",
            "Air leak of door gasket or valve",
            (
                "leak_rate",
                "equilibration_time",
                "drain_temp",
                "plateau_drain_gap",
                "gasket_pressure",
                "plateau_residual",
                "chamber_pressure",
                "vacuum_depth",
                "vacuum_time",
            ),
            Onset.RAMP,
            21 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "vacuum_pump_wear",
            "Vacuum pump wear or warm seal water",
            ("vacuum_depth", "vacuum_time", "chamber_pressure", "seal_water_temp"),
            Onset.RAMP,
            30 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "temperature_sensor_drift",
            "Temperature sensor drift (control sensor)",
            (
                "plateau_probe_gap",
                "plateau_residual",
                "plateau_drain_gap",
                "chamber_temp",
                "chamber_pressure",
                "drain_temp",
            ),
            Onset.RAMP,
            30 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "generator_scaling",
            "Steam generator scaled",
            (
                "heater_duty",
                "feedwater_conductivity",
                "heat_up_time",
                "chamber_pressure",
                "steam_supply_pressure",
            ),
            Onset.RAMP,
            14 * DAY,
            5 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "steam_quality",
            "Superheated steam, or gas or water in it (supply)",
            (
                "plateau_residual",
                "equilibration_time",
                "chamber_pressure",
                "plateau_drain_gap",
                "drain_temp",
                "chamber_temp",
            ),
            Onset.STEP,
            60.0,
            3600.0,
            (5.0, 20.0),
            loop=True,
            demo=False,
        ),
        FaultSpec(
            "drain_blocked",
            "Drain strainer blocked",
            (
                "drain_temp",
                "plateau_drain_gap",
                "equilibration_time",
                "chamber_temp",
                "chamber_pressure",
                "vacuum_time",
                "vacuum_depth",
            ),
            Onset.RAMP,
            4 * DAY,
            2 * DAY,
            RAMP,
            demo=False,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec("heavy_load", "Heavy or wet load", ("generator_scaling",), (1300.0, 1700.0), 4.0),
        LookalikeSpec(
            "first_cold_cycle",
            "First cycle after a cold night",
            ("generator_scaling",),
            (4500.0, 7200.0),
            0.7,
        ),
        LookalikeSpec("bowie_dick", "Bowie-Dick test", ("air_leak",), (1000.0, 1200.0), 1.0),
        LookalikeSpec("leak_test", "Leak test", ("air_leak",), (1080.0, 1200.0), 0.7),
        LookalikeSpec(
            "liquids_cycle", "Liquids cycle with slow exhaust", ("drain_blocked",), (2850.0, 3000.0), 1.0
        ),
        LookalikeSpec(
            "operator_abort", "Cycle broken off by staff", ("vacuum_pump_wear",), (300.0, 800.0), 0.7
        ),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (20.0, 75.0), 3.0),
    )
}
