"""Packets made and counted inside the kernel, so that the ends are faster than any system."""
