"""Icelane's dataplanes and other systems, measured side by side in one run.

Imports go down this list: `cli`, `scale`, `run`; `benchmarks`; `calls`; `systems`; `traffic`;
`testbed`. `report` stands beside it, and knows only results. `test_cli.py` has `machine`, too.
"""
