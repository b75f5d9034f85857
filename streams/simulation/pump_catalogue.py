"""Faults and look-alikes of the infusion pump. Data only; what they do is in `pump.py`."""

from collections.abc import Mapping

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset

DAY = 86400.0

FAULTS: Mapping[str, FaultSpec] = {
    spec.name: spec
    for spec in (
        FaultSpec(
            name="downstream_occlusion",
            title="Downstream occlusion (clot, kink)",
            channels=("line_pressure_down", "motor_current"),
            onset=Onset.RAMP,
            ramp_s=3600.0,
            lead_s=1800.0,
            demo_ramp_s=(600.0, 1200.0),
        ),
        FaultSpec(
            name="motor_wear",
            title="Motor or gear wear (cam, lead screw)",
            channels=("drive_position_error", "motor_current", "flow_current", "vol_infused"),
            onset=Onset.RAMP,
            ramp_s=21 * DAY,
            lead_s=14 * DAY,
            demo_ramp_s=(300.0, 900.0),
        ),
        FaultSpec(
            name="pressure_sensor_drift",
            title="Pressure sensor drift or offset",
            channels=("line_pressure_down",),
            onset=Onset.RAMP,
            ramp_s=7 * DAY,
            lead_s=None,
            demo_ramp_s=(300.0, 900.0),
            # Below this a drift hides among patients and catheters for most flows.
            demo_severity=(0.85, 1.0),
            demo=False,
        ),
        FaultSpec(
            name="air_sensor_soiling",
            title="Air-in-line sensor soiling",
            channels=("air_bubble_volume",),
            onset=Onset.RAMP,
            ramp_s=14 * DAY,
            lead_s=7 * DAY,
            demo_ramp_s=(300.0, 900.0),
        ),
        FaultSpec(
            name="battery_fade",
            title="Battery fade",
            channels=("battery_capacity", "battery_time"),
            onset=Onset.RAMP,
            ramp_s=90 * DAY,
            lead_s=60 * DAY,
            demo_ramp_s=(300.0, 900.0),
        ),
        FaultSpec(
            name="door_clamp",
            title="Free flow (door clamp fault)",
            channels=(
                "motor_current",
                "flow_current",
                "line_pressure_down",
                "line_pressure_up",
                "vol_infused",
            ),
            onset=Onset.STEP,
            ramp_s=10.0,
            lead_s=None,
            demo_ramp_s=(5.0, 20.0),
        ),
    )
}

LOOKALIKES: Mapping[str, LookalikeSpec] = {
    spec.name: spec
    for spec in (
        LookalikeSpec("bag_change", "Bag change", ("air_sensor_soiling",), (60.0, 150.0), 4.0),
        LookalikeSpec("near_end", "Bag near its end", ("downstream_occlusion",), (300.0, 900.0), 3.0),
        LookalikeSpec("nurse_bolus", "Bolus given by a nurse", ("door_clamp",), (30.0, 180.0), 3.0),
        LookalikeSpec("keep_vein_open", "Keep vein open", ("downstream_occlusion",), (120.0, 600.0), 2.0),
        LookalikeSpec("titration", "Rate titration", ("door_clamp",), (300.0, 1800.0), 4.0),
        LookalikeSpec(
            "arm_raised", "Patient raises or lowers the arm", ("pressure_sensor_drift",), (20.0, 600.0), 10.0
        ),
        LookalikeSpec("viscous_drug", "Viscous drug", ("downstream_occlusion",), (900.0, 7200.0), 1.0),
        LookalikeSpec(
            "small_catheter", "Change to a thin catheter", ("downstream_occlusion",), (1200.0, 14400.0), 0.5
        ),
        LookalikeSpec(
            "second_pump", "A second pump on the same line", ("pressure_sensor_drift",), (300.0, 3600.0), 1.5
        ),
        LookalikeSpec("on_battery", "Unplugged for a transport", ("battery_fade",), (600.0, 3600.0), 1.5),
        LookalikeSpec("wifi_replay", "Wireless loss, then a buffered burst", (), (20.0, 75.0), 4.0),
    )
}
