"""Both dataplanes are what the agent expects of one."""

import inspect

import pytest

from relay.dataplane.interface import Dataplane
from relay.dataplane.userspace import UserspaceDataplane
from relay.dataplane.xdp import XdpDataplane

METHODS = [name for name, _ in inspect.getmembers(Dataplane, inspect.isfunction) if name[0] != "_"]


def test_the_interface_is_looked_at() -> None:
    assert {"activate", "deactivate", "install", "remove", "reconcile", "steer"} <= set(METHODS)


@pytest.mark.parametrize("kind", [UserspaceDataplane, XdpDataplane])
@pytest.mark.parametrize("method", METHODS)
def test_a_dataplane_has_every_method_as_the_interface_has_it(kind: type, method: str) -> None:
    assert inspect.signature(getattr(kind, method)) == inspect.signature(getattr(Dataplane, method))


@pytest.mark.parametrize("kind", [UserspaceDataplane, XdpDataplane])
def test_a_dataplane_says_its_name_and_whether_it_steers(kind: type) -> None:
    assert kind.__dict__["name"] == kind.__name__.removesuffix("Dataplane").lower()
    assert isinstance(kind.__dict__["steers"], bool)
