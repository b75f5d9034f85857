"""Faults and look-alikes of the MRI scanner. Data only; what they do is in `mri.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

HOUR, DAY = 3600.0, 86400.0
RAMP = (1.0 * HOUR, 3.0 * HOUR)

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            "coldhead_wear",
            "Cold head worn or contaminated",
            ("heater_power", "coldhead_temp", "shield_temp", "compressor_return", "magnet_pressure"),
            Onset.RAMP,
            45 * DAY,
            21 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "compressor_fault",
            "Helium compressor worn or low on charge",
            ("compressor_supply", "compressor_return", "discharge_temp", "coldhead_temp", "heater_power"),
            Onset.RAMP,
            2 * DAY,
            12 * HOUR,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "chiller_failure",
            "Chiller weak or water flow restricted",
            ("chiller_flow", "chiller_supply_temp", "chiller_return_temp", "water_pressure", "oil_temp"),
            Onset.RAMP,
            3 * HOUR,
            HOUR,
            (0.5 * HOUR, 2.0 * HOUR),
            demo=False,
        ),
        FaultSpec(
            "helium_boil_off",
            "Helium leak or boil-off",
            ("helium_rate", "heater_power", "magnet_pressure"),
            Onset.RAMP,
            5 * DAY,
            3 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "pre_quench",
            "Insulating vacuum lost, quench ahead",
            ("magnet_pressure", "heater_power", "helium_rate", "coldhead_temp", "bore_temp", "shield_temp"),
            Onset.RAMP,
            3 * DAY,
            12 * HOUR,
            (2.0 * HOUR, 4.0 * HOUR),
            demo=False,
        ),
        FaultSpec(
            "rf_arcing",
            "Gradient or RF arcing",
            ("rf_spike_count", "snr"),
            Onset.RAMP,
            4 * DAY,
            None,
            RAMP,
            demo=False,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec(
            "scheduled_service", "Scheduled service", ("compressor_fault",), (HOUR, 4.0 * HOUR), 0.15
        ),
        LookalikeSpec("helium_fill", "Helium fill", ("helium_boil_off",), (1.5 * HOUR, 4.0 * HOUR), 0.10),
        LookalikeSpec(
            "power_test",
            "Emergency power test",
            ("compressor_fault", "chiller_failure"),
            (300.0, 900.0),
            0.20,
        ),
        LookalikeSpec(
            "epi_day", "Long echo-planar scanning", ("chiller_failure",), (2.0 * HOUR, 8.0 * HOUR), 0.50
        ),
        LookalikeSpec("summer_room", "Hot summer day", ("chiller_failure",), (4.0 * HOUR, 10.0 * HOUR), 0.30),
        LookalikeSpec(
            "magnet_ramp",
            "Magnet ramped",
            ("pre_quench", "helium_boil_off"),
            (1.5 * HOUR, 3.0 * HOUR),
            0.05,
        ),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (300.0, 1800.0), 1.0),
    )
}
