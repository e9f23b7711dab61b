"""What the agent hears and says, without protocol: turns, recognition, synthesis."""
