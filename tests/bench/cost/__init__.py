"""The cost of a packet in the XDP program, and of flows; test_cli.py runs every module."""
