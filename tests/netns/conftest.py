"""Relay testbeds, shared by the tests of a session."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.lab import topology
from tests.lab.relay_testbed import RelayTestbed

_numbers = itertools.count(1)
NETWORKS = {
    "two NICs": topology.TWO_NICS,
    "one NIC": topology.ONE_NIC,
    "one address": topology.ONE_ADDRESS,
}

NewTestbed = Callable[[str, str], RelayTestbed]


@pytest.fixture(scope="session")
def new_testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewTestbed]:
    """Starts a testbed by dataplane and network, or returns the one that is running."""
    with ExitStack() as testbeds:
        made: dict[tuple[str, str], RelayTestbed] = {}

        def make(dataplane: str, network: str) -> RelayTestbed:
            key = dataplane, network
            if key not in made:
                name = f"testbed-{os.getpid()}-{next(_numbers)}"
                directory = tmp_path_factory.mktemp(name)
                testbed = RelayTestbed(name, directory, dataplane, NETWORKS[network])
                made[key] = testbeds.enter_context(testbed)
            return made[key]

        yield make
