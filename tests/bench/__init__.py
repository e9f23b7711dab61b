"""Benchmarks: `compare` measures Icelane beside other systems, `cost` the XDP program alone.

`cost/test_cli.py` runs all of `cost`, with `relayfiles`; `compare/testbed/test_testbed.py` has
`resource`.
"""
