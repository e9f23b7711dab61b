"""What is measured of each system. test_forwarding.py has rate, overload, cpu and latency."""
