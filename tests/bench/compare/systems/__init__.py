"""What is compared: each is started on the relay's host, and has flows opened through it.

`test_systems.py` runs all of them. `test_own_relays.py` has the relays in C and Go.
"""
