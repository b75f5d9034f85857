"""Faults and look-alikes of the anaesthesia machine. Data only; what they do is in `anaesthesia.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

HOUR, DAY = 3600.0, 86400.0
RAMP = (300.0, 900.0)

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            "co2_absorber_exhaustion",
            "CO2 absorber exhausted",
            ("in_co2", "et_co2"),
            Onset.RAMP,
            8 * HOUR,
            2 * HOUR,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "vaporiser_output_fault",
            "Vaporiser output drifts or runs empty",
            ("in_agent", "et_agent"),
            Onset.RAMP,
            21 * DAY,
            None,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "breathing_system_leak",
            "Breathing system leaks (bellows, APL valve, seal)",
            ("system_leak", "vt_exp", "et_co2"),
            Onset.RAMP,
            14 * DAY,
            5 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "sample_line_occlusion",
            "Water trap full or sample line occluded",
            ("sample_flow", "in_co2", "et_co2", "rr_co2", "in_agent", "et_agent", "fio2", "et_o2"),
            Onset.RAMP,
            2 * HOUR,
            0.5 * HOUR,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "o2_sensor_drift",
            "Oxygen sensor (paramagnetic) drift",
            ("fio2", "et_o2"),
            Onset.RAMP,
            21 * DAY,
            None,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "drive_gas_sag",
            "Drive gas or pipeline pressure sags (room)",
            ("drive_gas_pressure", "vt_exp", "p_peak", "et_co2", "air_consumption"),
            Onset.RAMP,
            3 * DAY,
            DAY,
            RAMP,
            loop=True,
            demo=False,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec(
            "induction", "Induction of anaesthesia", ("vaporiser_output_fault",), (300.0, 900.0), 2.0
        ),
        LookalikeSpec(
            "emergence", "Emergence from anaesthesia", ("vaporiser_output_fault",), (300.0, 900.0), 2.0
        ),
        LookalikeSpec(
            "agent_change", "Other agent chosen", ("vaporiser_output_fault",), (1200.0, 5400.0), 1.0
        ),
        LookalikeSpec(
            "circuit_disconnect",
            "Disconnected at the end of a case",
            ("breathing_system_leak",),
            (120.0, 900.0),
            2.0,
        ),
        LookalikeSpec("bag_mode", "Ventilated by hand", ("breathing_system_leak",), (60.0, 600.0), 3.0),
        LookalikeSpec(
            "o2_flush", "Oxygen flush", ("o2_sensor_drift", "vaporiser_output_fault"), (4.0, 15.0), 4.0
        ),
        LookalikeSpec(
            "analyser_zeroing", "Gas analyser zeroes itself", ("sample_line_occlusion",), (20.0, 45.0), 8.0
        ),
        LookalikeSpec("daily_self_test", "Daily self-test", ("drive_gas_sag",), (240.0, 480.0), 1.0),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (20.0, 75.0), 3.0),
    )
}
