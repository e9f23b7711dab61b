"""An SFU between client and transceiver: Janus, with a gateway that signals for it.

`test_sfu.py` places calls through all of it.
"""
