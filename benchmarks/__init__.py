"""Measurements, by name: python -m benchmarks NAME. Their results are in benchmarks/results/."""
