"""What is made of a machine's kernel and limits."""

from dataclasses import replace
from typing import Any

import pytest

from relay.doctor import host
from relay.doctor.finding import Finding, Verdict
from relay.doctor.host import Kernel, Limits

GOOD = Kernel(
    release="6.1.0-56-amd64",
    btf=True,
    bpffs=True,
    refused=None,
    root=True,
    program="/o.json",
    headers="6.1.0-56-amd64",
    bcc=True,
)
OK, WARN, FAIL, UNKNOWN = Verdict


def found(trouble: Verdict = FAIL, **changed: Any) -> dict[str, Finding]:
    return {each.name: each for each in host.kernel(replace(GOOD, **changed), trouble)}


def test_a_good_machine_has_nothing() -> None:
    assert {each.verdict for each in found().values()} == {OK}


@pytest.mark.parametrize(
    ("changed", "name", "verdict", "fix"),
    [
        ({"release": "5.15.0-1-cloud"}, "kernel", FAIL, "6.1"),
        ({"release": "5.19.0"}, "kernel", WARN, "6.1"),
        ({"release": "mine"}, "kernel", UNKNOWN, ""),
        ({"btf": False}, "btf", OK, ""),
        ({"bpffs": False}, "bpffs", WARN, "mount -t bpf bpf /sys/fs/bpf"),
        ({"refused": "No: --cap-add."}, "capabilities", FAIL, "--cap-add"),
        ({"refused": "No: sudo.", "root": False}, "capabilities", UNKNOWN, "sudo"),
        ({"program": None}, "program", WARN, "icelane relay build"),
        ({"program": None, "headers": None}, "program", FAIL, "apt-get install linux-headers"),
        ({"program": None, "bcc": False}, "program", FAIL, "apt-get install python3-bpfcc"),
        ({"headers": None, "bcc": False}, "program", OK, ""),
        ({"loopback_off": ("a.b",)}, "forwarding", FAIL, "sysctl -w a.b=1"),
        ({"loopback_off": ("a.b",), "root": False}, "forwarding", UNKNOWN, "sysctl -w a.b=1"),
    ],
)
def test_what_is_amiss_is_named_with_what_mends_it(
    changed: dict[str, Any], name: str, verdict: Verdict, fix: str
) -> None:
    all_found = found(**changed)
    assert all_found[name].verdict is verdict
    assert fix in all_found[name].fix
    assert {each.verdict for each in all_found.values() if each.name != name} == {OK}


def test_where_userspace_would_do_nothing_of_the_kernel_fails() -> None:
    broken = found(WARN, release="5.4.0", refused="No: sudo.", program=None, bcc=False)
    assert FAIL not in {each.verdict for each in broken.values()}


@pytest.mark.parametrize(
    ("limits", "verdicts"),
    [
        (Limits(None, 212_992, any_buffer=True), [OK, OK]),
        (Limits(None, 8 << 20, any_buffer=False), [OK, OK]),
        (Limits(None, None, any_buffer=False), [OK, UNKNOWN]),
        (Limits("only 64: ulimit -n 9", 212_992, any_buffer=False), [WARN, WARN]),
    ],
)
def test_limits(limits: Limits, verdicts: list[Verdict]) -> None:
    told = list(host.limits(limits, 4096, 8 << 20))
    assert [each.verdict for each in told] == verdicts
    if verdicts == [WARN, WARN]:
        assert [each.fix for each in told] == [
            "ulimit -n 9",
            "sysctl -w net.core.rmem_max=8388608",
        ]
