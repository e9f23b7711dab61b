"""Results of a run, targets, the change since another run, and the report. Pure but for plots.

`test_markdown.py` has `plots`, `test_scale.py` in the package above `sections`.
"""
