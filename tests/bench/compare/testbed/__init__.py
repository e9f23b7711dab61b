"""Three hosts that stand for client, relay and transceiver, and the systems that run there.

`traffic/test_stream.py` has `bpfbuild`, `systems/test_systems.py` has `system`.
"""
