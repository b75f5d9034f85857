"""Faults and look-alikes of the defibrillator. Data only; what they do is in `defibrillator.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

HOUR = 3600.0
DAY = 24 * HOUR
RAMP = (2 * DAY, 6 * DAY)

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            "battery_ageing",
            "Battery aged (internal resistance, capacity)",
            ("battery_voltage_load", "cap_charge_time", "battery_capacity_ratio", "battery_voltage"),
            Onset.RAMP,
            150 * DAY,
            60 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "hv_capacitor_degradation",
            "High-voltage capacitor or charger degraded",
            ("cap_leak", "cap_charge_time", "energy_delivered"),
            Onset.RAMP,
            45 * DAY,
            20 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "parasitic_drain",
            "Parasitic drain of the battery",
            ("standby_current", "battery_charge", "battery_voltage", "battery_voltage_load"),
            Onset.RAMP,
            4 * DAY,
            60 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "therapy_cable_fault",
            "Therapy cable or connector faulty",
            ("pad_impedance", "ecg_noise", "energy_delivered"),
            Onset.STEP,
            20.0,
            7 * DAY,
            (20.0, 3600.0),
            demo=False,
        ),
        FaultSpec(
            "cabinet_temperature",
            "Cabinet too cold or too hot",
            ("temperature", "battery_voltage_load", "battery_voltage", "cap_charge_time", "cap_leak"),
            Onset.RAMP,
            30 * DAY,
            10 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "silent_device",
            "Device does not report any more",
            ("last_contact",),
            Onset.STEP,
            20.0,
            3 * DAY,
            (20.0, 3600.0),
            demo=False,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec("real_use", "Used on a patient", ("parasitic_drain",), (HOUR, 3 * HOUR), 0.02),
        LookalikeSpec(
            "manual_test", "Test shocks by staff", ("hv_capacitor_degradation",), (HOUR, 2 * HOUR), 0.03
        ),
        LookalikeSpec("battery_swap", "Battery replaced", ("battery_ageing",), (HOUR, 2 * HOUR), 0.01),
        LookalikeSpec("drill", "Drill or training", ("therapy_cable_fault",), (HOUR, 4 * HOUR), 0.03),
        LookalikeSpec(
            "cold_spell", "Cabinet open on a cold day", ("cabinet_temperature",), (4 * HOUR, 12 * HOUR), 0.05
        ),
        LookalikeSpec("comm_outage", "Wireless network down", ("silent_device",), (2 * HOUR, 6 * HOUR), 0.1),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (2 * HOUR, 8 * HOUR), 0.1),
    )
}
