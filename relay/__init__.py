"""Icelane's relay: routes WebRTC sessions by the ICE ufrag and forwards them, in the kernel where it can."""
