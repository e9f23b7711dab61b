"""Whole calls: a testbed with all services, a load generator, a delay line, a packet capture.

`benchmarks/test_callsetup.py` has `calltestbed`, `delayline` and `load`.
"""
