"""What the design decided against, measured: TURN, a port per session, an SFU, one service.

`test_cli.py` measures all of it once, with `servers`, `callpaths`, `figures` and `scale`.
"""
