"""Which seeds are whose: what models learn from and what they are examined on must not share a device."""

BENCHMARK_SEEDS = range(9_000_000, 10_000_000)
"""For the simulated benchmark alone; whatever makes training data refuses them."""
