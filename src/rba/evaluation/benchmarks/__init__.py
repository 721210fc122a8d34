"""Benchmarks: tests that others made, from local files or the hub, asked by voice and scored without a paid judge."""
