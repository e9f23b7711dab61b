"""Rigs: relays that loads pass through."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.lab import topology
from tests.lab.rig import Rig

_numbers = itertools.count(1)
NETWORKS = {"two NICs": topology.TWO_NICS, "one NIC": topology.ONE_NIC}

NewRig = Callable[[str, str], Rig]


@pytest.fixture(scope="session")
def new_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewRig]:
    """Make a rig by dataplane and network; rigs are shared, and go in the end."""
    with ExitStack() as rigs:
        made: dict[tuple[str, str], Rig] = {}

        def make(dataplane: str, network: str) -> Rig:
            key = dataplane, network
            if key not in made:
                name = f"rig-{os.getpid()}-{next(_numbers)}"
                directory = tmp_path_factory.mktemp(name)
                rig = Rig(name, directory, dataplane, NETWORKS[network])
                made[key] = rigs.enter_context(rig)
            return made[key]

        yield make
