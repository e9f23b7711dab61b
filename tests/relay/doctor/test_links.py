"""What is made of network interfaces."""

from dataclasses import replace
from typing import Any

import pytest

from relay.dataplane.kernel.config import Mode
from relay.doctor import links
from relay.doctor.finding import Finding, Verdict
from relay.doctor.links import Interface

ETH0 = Interface("eth0", "ice", up=True, mtu=1500, native=True, queues=(4, 8), merges=False)
OK, WARN, FAIL, UNKNOWN = Verdict


def found(mode: Mode = Mode.AUTO, **changed: Any) -> dict[str, Finding]:
    link = replace(ETH0, **changed)
    return {each.name: each for each in links.look(link, mode, processors=4, trouble=FAIL)}


def test_a_good_card_has_nothing() -> None:
    told = found()
    assert list(told) == ["eth0 xdp", "eth0 queues", "eth0 mtu", "eth0 offloads"]
    assert {each.verdict for each in told.values()} == {OK}


@pytest.mark.parametrize(
    ("changed", "name", "verdict", "fix"),
    [
        ({"up": False}, "link", WARN, "ip link set eth0 up"),
        ({"native": False}, "xdp", WARN, "--mode generic"),
        ({"native": None}, "xdp", OK, ""),  # this kernel does not tell, and ice is known
        ({"native": None, "driver": "e1000"}, "xdp", UNKNOWN, ""),
        ({"native": False, "attached": "native"}, "xdp", OK, ""),
        ({"attached": "generic"}, "xdp", WARN, "icelane relay unload"),
        ({"queues": (1, 8)}, "queues", WARN, "ethtool -L eth0 combined 4"),
        ({"queues": (1, 1)}, "queues", OK, ""),
        ({"queues": None}, "queues", OK, ""),
        ({"driver": "ena", "queues": (8, 8)}, "queues", WARN, "ethtool -L eth0 combined 4"),
        ({"driver": "ena", "queues": (4, 8)}, "queues", OK, ""),
        ({"mtu": 9000}, "mtu", WARN, "ip link set eth0 mtu 1500"),
        ({"mtu": 1000}, "mtu", WARN, "ip link set eth0 mtu 1500"),
        ({"merges": True}, "offloads", WARN, "ethtool -K eth0 lro off"),
        ({"hidden": ("no tags: ethtool -K eth0 rxvlan off",)}, "offloads", WARN, "rxvlan off"),
        ({"above": ("v is above. Give v to eth0 (use_vmac).",)}, "mac", WARN, "Give v to eth0"),
    ],
)
def test_what_is_amiss_is_named_with_what_mends_it(
    changed: dict[str, Any], name: str, verdict: Verdict, fix: str
) -> None:
    told = found(**changed)
    assert told[f"eth0 {name}"].verdict is verdict
    assert fix in told[f"eth0 {name}"].fix
    assert {each.verdict for key, each in told.items() if key != f"eth0 {name}"} == {OK}


def test_what_cannot_run_the_program_is_all_that_is_said() -> None:
    told = found(refused="eth0 is of the kind dummy: nothing comes in. Name another.")
    assert [(each.verdict, each.fix) for each in told.values()] == [(FAIL, "Name another")]


def test_who_wants_a_mode_is_told_by_it() -> None:
    assert found(Mode.NATIVE, native=False)["eth0 xdp"].verdict is FAIL
    generic = found(Mode.GENERIC, native=False, mtu=9000)
    assert {each.verdict for each in generic.values()} == {OK}
