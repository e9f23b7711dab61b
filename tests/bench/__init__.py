"""Benchmarks: `compare` measures Icelane beside other systems, `cost` the XDP program alone."""
