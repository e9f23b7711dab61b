"""`icelane doctor`: what of a host and of a relay's settings would keep calls from working."""
