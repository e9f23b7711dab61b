"""What a live viewer costs beside many flows, and how soon it reacts."""
