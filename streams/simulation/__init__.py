"""Seeded devices with coupled physics, operating modes, faults and look-alikes; knows no broker and no model."""

from streams.simulation.catalogue import FaultSpec, LookalikeSpec, Onset
from streams.simulation.device import DEVICE_TYPES, Simulation, fault_specs, lookalike_specs, simulate
from streams.simulation.observation import Arrivals, Observation, observe
from streams.simulation.plan import FaultPlan, LookalikePlan, ModeChange, Plan
from streams.simulation.planners import PlannedDevice, fault_plan, fleet_plan, random_plan
from streams.simulation.seeds import BENCHMARK_SEEDS
from streams.simulation.truth import FaultTruth, LookalikeTruth, Truth

__all__ = [
    "BENCHMARK_SEEDS",
    "DEVICE_TYPES",
    "Arrivals",
    "FaultPlan",
    "FaultSpec",
    "FaultTruth",
    "LookalikePlan",
    "LookalikeSpec",
    "LookalikeTruth",
    "ModeChange",
    "Observation",
    "Onset",
    "Plan",
    "PlannedDevice",
    "Simulation",
    "Truth",
    "fault_plan",
    "fault_specs",
    "fleet_plan",
    "lookalike_specs",
    "observe",
    "random_plan",
    "simulate",
]
