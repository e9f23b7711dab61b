"""A pytest plugin that compiles the program at every load, to see what keeping it is worth.

Run a module of tests with it and without: ``pytest -p tests.bench.start.compiling MODULE``.
"""

from relay.dataplane.kernel import objects


def pytest_configure() -> None:
    """Find no object that was kept."""
    objects.find = lambda: None
