"""Whole calls: a testbed with all services, a load generator, a delay line and a packet capture."""
