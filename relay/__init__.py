"""Icelane's relay: routes sessions by the ICE ufrag, forwards them in the kernel where it can."""
