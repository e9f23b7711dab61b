"""What the offline agent's parts cost, how soon it is heard, and how well it understands."""
