"""Faults and look-alikes of the infant incubator. Data only; what they do is in `incubator.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

DAY = 86400.0
RAMP = (600.0, 1500.0)

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            "fan_degradation",
            "Fan degradation or blocked filter",
            ("fan_current", "fan_speed", "noise_level", "heater_temp", "co2_in_hood", "air_sensor_gap"),
            Onset.RAMP,
            30 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "heater_failure",
            "Heater element partly failed",
            ("heater_duty", "air_temp", "heater_temp"),
            Onset.RAMP,
            7 * DAY,
            2 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "air_sensor_drift",
            "Air temperature sensor drift",
            ("air_sensor_gap", "heater_duty", "skin_temp_2", "skin_temp_1", "air_temp", "heater_temp"),
            Onset.RAMP,
            30 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "skin_sensor_drift",
            "Skin temperature sensor drift",
            ("skin_gap", "skin_temp_1", "skin_temp_2", "air_temp", "heater_duty"),
            Onset.RAMP,
            21 * DAY,
            None,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "seal_leak",
            "Door or port seal leaks",
            (
                "humidifier_duty",
                "heater_duty",
                "water_temp",
                "humidity",
                "heater_temp",
                "co2_in_hood",
                "o2_flow",
            ),
            Onset.RAMP,
            5 * DAY,
            None,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "humidifier_scaling",
            "Humidifier scaled",
            ("humidifier_duty", "water_temp", "humidity"),
            Onset.RAMP,
            30 * DAY,
            7 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "o2_cell_depletion",
            "Oxygen cell depletion",
            ("o2_conc", "o2_flow"),
            Onset.RAMP,
            30 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec("hand_port", "Hand port opened", ("seal_leak",), (30.0, 120.0), 12.0),
        LookalikeSpec("door_open", "Front door opened for care", ("seal_leak",), (60.0, 300.0), 2.0),
        LookalikeSpec(
            "phototherapy", "Phototherapy lamp above the hood", ("air_sensor_drift",), (3600.0, 14400.0), 0.5
        ),
        LookalikeSpec("skin_probe_off", "Skin sensor came off", ("skin_sensor_drift",), (60.0, 420.0), 1.5),
        LookalikeSpec("cleaning", "Cleaned and warmed up again", ("heater_failure",), (2700.0, 4800.0), 0.3),
        LookalikeSpec("transport", "Transported on battery", ("heater_failure",), (900.0, 2700.0), 0.5),
        LookalikeSpec(
            "kangaroo_care",
            "Kangaroo care on a parent's chest",
            ("skin_sensor_drift",),
            (2400.0, 5400.0),
            0.7,
        ),
        LookalikeSpec("setting_change", "Settings changed", ("humidifier_scaling",), (1800.0, 7200.0), 1.5),
        LookalikeSpec("control_change", "Air to skin control or back", (), (3600.0, 7200.0), 0.3),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (20.0, 75.0), 3.0),
    )
}
