"""How many round trips the set-up of a call takes, step by step."""
