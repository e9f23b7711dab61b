"""A relay's agent takes over from the one that runs: sockets, flows and all, without a loss."""
