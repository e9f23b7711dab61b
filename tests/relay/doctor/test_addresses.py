"""What is made of a relay's addresses, and of what clients are told."""

import errno
from collections.abc import Iterable

import pytest

from relay.doctor import addresses
from relay.doctor.addresses import Binding, Mapped
from relay.doctor.finding import Finding, Verdict
from relay.wire.endpoint import Endpoint

VIP = Endpoint("10.0.0.5", 3478)
PUBLIC = Endpoint("203.0.113.10", 3478)
OK, WARN, FAIL, UNKNOWN = Verdict


def only(found: Iterable[Finding]) -> Finding:
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("number", "running", "verdict", "fix"),
    [
        (None, False, OK, ""),
        (errno.EADDRNOTAVAIL, True, FAIL, "ip address add 10.0.0.5/32 dev lo"),
        (errno.EADDRINUSE, False, FAIL, "ss -lunp sport = :3478"),
        (errno.EADDRINUSE, True, OK, ""),
        (errno.EACCES, False, FAIL, "run it as root"),
        (errno.EAFNOSUPPORT, False, FAIL, "correct --vip"),
    ],
)
def test_bound(number: int | None, verdict: Verdict, fix: str, *, running: bool) -> None:
    found = only(addresses.bound([Binding("vip", VIP, number)], running=running))
    assert found.name == "vip 10.0.0.5:3478"
    assert found.verdict is verdict
    assert fix in found.fix


@pytest.mark.parametrize(
    ("told", "verdicts"),
    [
        ((PUBLIC,), [OK]),
        ((VIP,), [WARN]),
        ((Endpoint("100.64.1.2", 1),), [WARN]),
        ((VIP, Endpoint("2001:db8::5", 1)), [OK]),  # the private one is for those who are near
    ],
)
def test_what_clients_are_told(told: tuple[Endpoint, ...], verdicts: list[Verdict]) -> None:
    assert [each.verdict for each in addresses.told([VIP], told)] == verdicts


@pytest.mark.parametrize(
    ("seen", "told", "verdict", "fix"),
    [
        (VIP.host, VIP, OK, ""),  # no NAT
        (PUBLIC.host, PUBLIC, OK, ""),  # a NAT that clients are told of
        (PUBLIC.host, VIP, FAIL, "--advertise 203.0.113.10:PORT"),
        (VIP.host, PUBLIC, FAIL, "leave --advertise away"),
        (None, VIP, UNKNOWN, ""),
    ],
)
def test_what_a_stun_server_sees(
    seen: str | None, told: Endpoint, verdict: Verdict, fix: str
) -> None:
    local = Endpoint(VIP.host, 40_000)
    mapped = Mapped(local, Endpoint(seen, 40_000) if seen else None, "no answer")
    found = only(addresses.mapped([mapped], [told]))
    assert found.verdict is verdict
    assert fix in found.fix


def test_a_nat_that_changes_ports_is_no_one_to_one_nat() -> None:
    seen = Mapped(Endpoint(VIP.host, 40_000), Endpoint(PUBLIC.host, 1_025))
    found = only(addresses.mapped([seen], [VIP]))
    assert found.verdict is WARN
    assert "not a 1:1 NAT" in found.says
