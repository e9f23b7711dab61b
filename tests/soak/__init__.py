"""A soak test: many flows for a long time, while everything around them goes wrong."""
