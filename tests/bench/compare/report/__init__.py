"""Results of a run, targets, the change since another run, and the report. Pure but for plots."""
