"""Faults and look-alikes of the patient monitor. Data only; what they do is in `patient_monitor.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

DAY = 86400.0
RAMP = (300.0, 900.0)

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            "spo2_sensor_ageing",
            "SpO2 sensor: light source or cable aged",
            ("spo2_signal_quality", "spo2_led_current", "pulse_rate", "perfusion_index", "spo2"),
            Onset.RAMP,
            21 * DAY,
            7 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "nibp_pneumatic_leak",
            "NIBP cuff, hose or valve leaks, or its pump is worn",
            ("nibp_leak_rate", "nibp_inflate_time"),
            Onset.RAMP,
            21 * DAY,
            7 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "ecg_cable_fracture",
            "ECG cable or lead wire breaks",
            ("ecg_lead_impedance", "ecg_noise", "hr", "resp_rate"),
            Onset.RAMP,
            3 * DAY,
            DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "ibp_zero_drift",
            "Arterial pressure transducer zero drift",
            ("ibp_mean", "ibp_dia", "ibp_sys"),
            Onset.RAMP,
            4 * 3600.0,
            3600.0,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "battery_charger_failure",
            "Battery or its charger fails",
            ("battery_voltage", "battery_charge"),
            Onset.RAMP,
            60 * DAY,
            14 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "module_comm_failure",
            "SpO2 module loses its link to the monitor",
            ("module_link_errors", "spo2_signal_quality", "perfusion_index", "spo2", "pulse_rate"),
            Onset.INTERMITTENT,
            DAY,
            6 * 3600.0,
            (60.0, 600.0),
            demo=False,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec(
            "patient_moved", "Patient moves", ("ecg_cable_fracture", "spo2_sensor_ageing"), (20.0, 120.0), 12.0
        ),
        LookalikeSpec(
            "ambulating",
            "Patient walks or is transported, monitor on battery",
            ("battery_charger_failure", "ecg_cable_fracture"),
            (300.0, 1200.0),
            2.0,
        ),
        LookalikeSpec("electrocautery", "Electrocautery", ("ecg_cable_fracture",), (60.0, 300.0), 2.0),
        LookalikeSpec("arm_raised", "Arm raised", ("ibp_zero_drift",), (60.0, 300.0), 6.0),
        LookalikeSpec("cold_fingers", "Cold fingers", ("spo2_sensor_ageing",), (900.0, 5400.0), 2.0),
        LookalikeSpec("discharge", "Patient discharged", ("module_comm_failure",), (900.0, 3600.0), 0.7),
        LookalikeSpec(
            "cuff_on_sensor_arm", "Cuff on the arm of the SpO2 sensor", ("spo2_sensor_ageing",), (1200.0, 7200.0), 1.0
        ),
        LookalikeSpec("arrhythmia", "Atrial fibrillation", ("ecg_cable_fracture",), (300.0, 3600.0), 2.0),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (20.0, 75.0), 3.0),
    )
}  # fmt: skip
