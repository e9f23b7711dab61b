"""A relay at work: the agent that executes the session table's commands, alone or as workers."""
