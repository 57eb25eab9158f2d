"""The benchmark: `make bench` runs it and writes `docs/benchmarks.md`."""
