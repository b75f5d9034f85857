"""Faults and look-alikes of the haemodialysis machine. Data only; what they do is in `dialysis.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

DAY = 86400.0
RAMP = (300.0, 900.0)

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            "conductivity_cell_scaling",
            "Conductivity cell scaling",
            ("dialysate_cond",),
            Onset.RAMP,
            21 * DAY,
            7 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "proportioning_pump_wear",
            "Proportioning pump wear",
            ("bicarb_cond", "dialysate_cond"),
            Onset.RAMP,
            21 * DAY,
            7 * DAY,
            RAMP,
        ),
        FaultSpec(
            "heater_degradation",
            "Heater degradation",
            ("heater_duty", "dialysate_temp", "temp_ven"),
            Onset.RAMP,
            30 * DAY,
            14 * DAY,
            RAMP,
        ),
        FaultSpec(
            "temperature_sensor_drift",
            "Temperature sensor (NTC) drift",
            ("temp_ven", "heater_duty"),
            Onset.RAMP,
            30 * DAY,
            None,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "blood_pump_wear",
            "Blood pump roller or segment wear (occlusion loss)",
            ("qb", "p_prefilter", "p_art", "p_ven"),
            Onset.RAMP,
            21 * DAY,
            None,
            RAMP,
        ),
        FaultSpec(
            "balancing_leak",
            "Balancing chamber or UF valve leak",
            ("uf_removed", "tmp"),
            Onset.RAMP,
            7 * DAY,
            3 * DAY,
            RAMP,
            demo=False,
        ),
        FaultSpec(
            "dialyser_clotting",
            "Dialyser clotting",
            ("tmp", "p_prefilter"),
            Onset.RAMP,
            3 * 3600.0,
            3600.0,
            (600.0, 1200.0),
            demo=False,
        ),
        FaultSpec(
            "blood_leak_optics_soiling",
            "Blood leak detector optics soiled",
            ("blood_leak",),
            Onset.RAMP,
            30 * DAY,
            14 * DAY,
            RAMP,
        ),
        FaultSpec(
            "air_detector_soiling",
            "Air detector soiled",
            ("air_detect_level",),
            Onset.RAMP,
            30 * DAY,
            14 * DAY,
            RAMP,
        ),
        FaultSpec(
            "ro_inlet_fault",
            "Water inlet pressure or temperature fault (room)",
            ("ro_inlet_pressure", "dialysate_flow", "ro_inlet_temp", "heater_duty"),
            Onset.STEP,
            15.0,
            300.0,
            (5.0, 20.0),
            loop=True,
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec("needle_change", "Needle position changed", ("blood_pump_wear",), (300.0, 5400.0), 6.0),
        LookalikeSpec("arm_moved", "Patient moves the arm", ("blood_pump_wear",), (15.0, 120.0), 20.0),
        LookalikeSpec(
            "sodium_profile", "Sodium profile", ("conductivity_cell_scaling",), (1200.0, 7200.0), 1.0
        ),
        LookalikeSpec("uf_profile", "Ultrafiltration profile", ("balancing_leak",), (1200.0, 7200.0), 2.0),
        LookalikeSpec("hot_disinfection", "Hot disinfection", ("heater_degradation",), (1500.0, 2400.0), 0.5),
        LookalikeSpec(
            "rinse_back", "Rinse-back between treatments", ("blood_pump_wear",), (300.0, 600.0), 1.0
        ),
        LookalikeSpec("bypass_test", "Bypass during a self-test", ("ro_inlet_fault",), (45.0, 150.0), 4.0),
        LookalikeSpec("single_needle", "Single-needle operation", ("blood_pump_wear",), (900.0, 5400.0), 0.7),
        LookalikeSpec("wifi_replay", "Network loss, then a buffered burst", (), (20.0, 75.0), 3.0),
    )
}
