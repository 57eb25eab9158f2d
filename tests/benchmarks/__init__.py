"""The benchmark: `make bench` runs it, `docs/benchmarks.md` is what it writes."""
