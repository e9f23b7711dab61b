"""The comparison: Icelane's dataplanes and other relays, side by side in one run."""
