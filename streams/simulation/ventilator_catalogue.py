"""Faults and look-alikes of the ICU ventilator. Data only; what they do is in `ventilator.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

DAY = 86400.0

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            name="expiratory_flow_sensor_drift",
            title="Expiratory flow sensor drift or contamination",
            channels=("vt_exp", "mv", "leak"),
            onset=Onset.RAMP,
            ramp_s=12 * 3600.0,
            lead_s=6 * 3600.0,
            demo_ramp_s=(300.0, 900.0),
            demo=False,
        ),
        FaultSpec(
            name="o2_cell_depletion",
            title="Oxygen cell depletion",
            channels=("fio2",),
            onset=Onset.RAMP,
            ramp_s=30 * DAY,
            lead_s=14 * DAY,
            demo_ramp_s=(300.0, 900.0),
        ),
        FaultSpec(
            name="circuit_leak",
            title="Circuit or valve leak",
            channels=(
                "leak",
                "vt_exp",
                "peep",
                "mv",
                "blower_speed",
                "rr_total",
                "etco2",
                "p_plat",
                "p_peak",
            ),
            onset=Onset.STEP,
            ramp_s=10.0,
            lead_s=1800.0,
            demo_ramp_s=(5.0, 20.0),
        ),
        FaultSpec(
            name="exhalation_valve_stick",
            title="Exhalation valve sticks (diaphragm)",
            channels=("peep", "p_plat", "p_peak", "vt_exp"),
            onset=Onset.RAMP,
            ramp_s=4 * DAY,
            lead_s=2 * DAY,
            demo_ramp_s=(300.0, 900.0),
        ),
        FaultSpec(
            name="blower_bearing_wear",
            title="Blower bearing wear",
            channels=("blower_current", "blower_temp", "blower_speed", "p_peak"),
            onset=Onset.RAMP,
            ramp_s=30 * DAY,
            lead_s=14 * DAY,
            demo_ramp_s=(300.0, 900.0),
            demo=False,
        ),
        FaultSpec(
            name="o2_supply_fault",
            title="Oxygen supply or mixer fault",
            channels=("o2_supply_pressure", "fio2"),
            onset=Onset.STEP,
            ramp_s=10.0,
            lead_s=120.0,
            demo_ramp_s=(5.0, 20.0),
        ),
        FaultSpec(
            name="pressure_zero_drift",
            title="Pressure transducer zero drift",
            channels=("peep", "p_plat", "p_peak"),
            onset=Onset.RAMP,
            ramp_s=21 * DAY,
            lead_s=None,
            demo_ramp_s=(300.0, 900.0),
            demo=False,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec("suctioning", "Suctioning", ("circuit_leak",), (120.0, 240.0), 6.0),
        LookalikeSpec(
            "disconnection", "Disconnected for a transport", ("circuit_leak",), (180.0, 1200.0), 1.0
        ),
        LookalikeSpec("mode_change", "Volume to pressure control or back", (), (600.0, 7200.0), 1.0),
        LookalikeSpec(
            "setting_change", "Settings changed", ("exhalation_valve_stick",), (600.0, 7200.0), 4.0
        ),
        LookalikeSpec("cough", "Cough, asynchrony", ("circuit_leak",), (20.0, 180.0), 10.0),
        LookalikeSpec("secretions", "Secretions in the airway", (), (600.0, 3600.0), 3.0),
        LookalikeSpec("position_change", "Patient turned", ("exhalation_valve_stick",), (600.0, 7200.0), 4.0),
        LookalikeSpec(
            "nebulisation", "Nebulisation", ("expiratory_flow_sensor_drift",), (420.0, 1200.0), 3.0
        ),
        LookalikeSpec("recruitment", "Recruitment manoeuvre", ("pressure_zero_drift",), (40.0, 90.0), 1.0),
        LookalikeSpec(
            "oxygen_100", "100 % oxygen for two minutes", ("o2_cell_depletion",), (110.0, 130.0), 4.0
        ),
        LookalikeSpec("on_battery", "Runs on battery", (), (300.0, 1800.0), 1.0),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (20.0, 75.0), 3.0),
    )
}
