"""What is measured of each system.

`test_forwarding.py` has `benchmark`, `rate`, `overload`, `cpu` and `latency`.
"""
