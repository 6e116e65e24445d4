"""Measurements on real networks and data: ``python -m benchmarks [NAME ...]`` writes benchmarks/RESULTS.md."""
