"""Tests, and the lab and the benchmarks that they share. Products never import them."""
