"""Real clients through all scenarios: who comes through what."""
