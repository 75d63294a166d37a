"""Benchmarks of dorm against bare drivers and other ORMs; `python -m bench --help`."""
