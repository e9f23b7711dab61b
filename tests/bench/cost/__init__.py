"""Benchmarks: figures that anyone can measure again on a machine of their own."""
