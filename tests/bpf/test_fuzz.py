"""The program and the model of it agree on random frames: verdict, bytes and counters.

A run of the tests ends with the seed that it had. To repeat it, and to choose the number of frames:

    ICELANE_FUZZ_SEED=1234 ICELANE_FUZZ_PACKETS=1000000 .venv/bin/pytest tests/bpf/test_fuzz.py

A frame that they differ about is printed, and kept in found.jsonl, from which it is run for ever
after.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relay.core.flowtuple import FlowTuple, Source
from relay.core.rates import CLOSED, Rates
from relay.wire.endpoint import Endpoint
from tests.bpf.model import Expected, Model, Way
from tests.bpf.oracle import require_scapy_agrees
from tests.bpf.packet import Address, host
from tests.bpf.traffic import SEED, Came, Traffic

if TYPE_CHECKING:
    from relay.dataplane.flowrecord import Activity
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

FOUND = Path(__file__).with_name("found.jsonl")
PACKETS = int(os.environ.get("ICELANE_FUZZ_PACKETS", "200000"))
CHUNKS = 10
PER_TABLE = 1000  # frames between two tables of flows
SLEEP = 3  # flows of a table that another relay has
LIMITS_EVERY = 5 * PER_TABLE
SCAPY_LOOKS_AT = 20  # of so many forwarded packets at one: it is slow


@dataclass(frozen=True)
class Case:
    """A frame that was worth keeping."""

    name: str
    flows: tuple[FlowTuple, ...]
    came: Came

    def dumps(self) -> str:
        """One line of JSON."""
        flows = [[str(e) for e in _ends(flow)] + [flow.route.hex()] for flow in self.flows]
        frame, interface = self.came.frame.hex(), self.came.interface
        return json.dumps(
            {"name": self.name, "flows": flows, "interface": interface, "frame": frame}
        )

    @classmethod
    def loads(cls, text: str) -> "Case":
        """The case in a line of JSON."""
        fields: dict[str, Any] = json.loads(text)
        flows = []
        for *ends, route in fields["flows"]:
            client, vip, upstream, transceiver = map(Endpoint.parse, ends)
            flows.append(FlowTuple(client, vip, upstream, transceiver, bytes.fromhex(route)))
        came = Came(bytes.fromhex(fields["frame"]), fields["interface"])
        return cls(fields["name"], tuple(flows), came)


def _ends(flow: FlowTuple) -> tuple[Endpoint, ...]:
    return flow.client, flow.vip, flow.upstream, flow.transceiver


def found() -> list[Case]:
    """The cases that were kept."""
    return [Case.loads(line) for line in FOUND.read_text(encoding="ascii").splitlines()]


@pytest.fixture
def model(bench: "Bench") -> Model:
    """What the bench has told the program, without flows."""
    return _model(bench)


def _model(bench: "Bench") -> Model:
    from tests.bpf.conftest import CLUSTER, MACS, mac

    def way(near: str, far: str, **more: Any) -> Way:
        ethernet = mac(MACS[far]) + mac(MACS[near])
        return Way(interface=near, ethernet=ethernet, **more)

    ways = {
        bench.client: way("public", "client"),
        bench.public_transceiver: way("public", "transceiver"),
        bench.small_mtu: way("public", "client", mtu=bench.mtu),
        bench.vlan_client: way("public", "client", vlan=bench.vlans["public"]),
        bench.client6: way("public", "client"),
        bench.small_mtu6: way("public", "client", mtu=bench.mtu),
        bench.transceiver: way("internal", "transceiver"),
        bench.vlan_transceiver: way("internal", "transceiver", vlan=bench.vlans["internal"]),
        bench.transceiver6: way("internal", "transceiver"),
        bench.elsewhere: Way("foreign_interface"),
    }
    for nowhere in (bench.without_neighbour, bench.without_neighbour6):
        ways[nowhere] = Way("no_neighbour")
    for nowhere in (bench.blackholed, bench.blackholed6):
        ways[nowhere] = Way("no_route")
    ports = range(20_000, 30_000)
    return Model(
        keys=bench.keys,
        cluster=CLUSTER,
        vips=frozenset(
            Address.of(vip) for vip in (bench.vip, bench.vip6, bench.shared_vip, bench.shared_vip6)
        ),
        upstreams={host(bench.upstream.host): ports, host(bench.upstream6.host): ports},
        vlans={name: frozenset({vlan}) for name, vlan in bench.vlans.items()},
        macs={name: mac(MACS[name]) for name in bench.vlans},
        transceivers_behind=frozenset({"internal"}),
        ways={host(endpoint.host): way for endpoint, way in ways.items()},
        policy_tos=bench.policy_tos,
    )


def difference(bench: "Bench", expected: Expected, came: Came) -> str | None:
    """Where the program does otherwise than expected; None when it does not."""
    done = bench.run(came.frame, came.interface)
    if done == bench.outcome(expected.verdict, expected.frame, expected.reason):
        return None
    return (
        f"the frame {came.frame.hex()} came in by {came.interface}\n"
        f"expected {expected.verdict} {expected.reason} {expected.frame.hex()}\n"
        f"but it was {done.verdict} {done.counted} {done.frame.hex()}"
    )


@pytest.mark.parametrize("case", found(), ids=lambda case: case.name)
def test_what_was_found_before(bench: "Bench", model: Model, case: Case) -> None:
    for flow in case.flows:
        bench.dataplane.install(flow)
        model.install(flow)
    # Older ones have random MAC addresses, which would hide what was found.
    came = Came(model.macs[case.came.interface] + case.came.frame[6:], case.came.interface)
    for _ in range(2):  # the second time, with the next hop that the first has remembered
        assert difference(bench, model.run(*came), came) is None


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_program_does_what_the_model_does(bench: "Bench", chunk: int) -> None:
    traffic = Traffic(random.Random(f"{SEED} {chunk}"), bench)
    forwarded = 0
    for start in range(0, PACKETS // CHUNKS, PER_TABLE):
        bench.clear()
        model = _model(bench)
        model.unlimited = start % LIMITS_EVERY != 0
        if not model.unlimited:
            bench.limit(**{each.name: CLOSED for each in fields(Rates)})
        dormant, installed = _split(traffic.flows())
        for flow in dormant:
            bench.dataplane.expect(Source(flow.client, flow.vip))
            model.expect(flow)
        for flow in installed:
            bench.dataplane.install(flow)
            model.install(flow)
        passed: Counter[tuple[FlowTuple, str, str]] = Counter()
        for number in range(start, start + PER_TABLE):
            came = traffic.frame()
            expected = model.run(*came)
            differs = difference(bench, expected, came)
            if differs:
                name = f"seed {SEED}, chunk {chunk}, frame {number}: {expected.reason}"
                keep(Case(name, tuple(dict.fromkeys(e.flow for e in model.entries.values())), came))
                pytest.fail(f"{name}\n{differs}")
            if expected.entry:
                flow, direction = expected.entry.flow, expected.entry.direction
                passed[flow, direction, "packets"] += 1
                passed[flow, direction, "bytes"] += expected.payload_length
                forwarded += 1
                if forwarded % SCAPY_LOOKS_AT == 0:
                    require_scapy_agrees(came.frame, expected)
        require_counted(bench, passed)
        for flow in dormant:
            bench.dataplane.expect_no_more(Source(flow.client, flow.vip))


# It has headroom enough, and sends nothing; and frames of several buffers are large.
# Where nothing may pass, all end at the gate of their ufrag: test_admission.py meets the others.
LATER_GATES = {"stun_prefix_limited", "stun_routed_limited"}
BEYOND_A_TEST_RUN = {"no_headroom", "many_buffers", "redirect_failed", "transmit_dropped"}


def test_the_traffic_meets_every_reason(bench: "Bench") -> None:
    traffic = Traffic(random.Random(1), bench)
    met = set()
    for unlimited in [True] * 20 + [False] * 5:
        model = _model(bench)
        model.unlimited = unlimited
        dormant, installed = _split(traffic.flows())
        for flow in dormant:
            model.expect(flow)
        for flow in installed:
            model.install(flow)
        met |= {model.run(*traffic.frame()).reason for _ in range(PER_TABLE)}
    assert met == bench.dataplane.counters().keys() - BEYOND_A_TEST_RUN - LATER_GATES


def _split(flows: Sequence[FlowTuple]) -> tuple[Sequence[FlowTuple], Sequence[FlowTuple]]:
    """Some that another relay has, and those of this one."""
    return flows[:SLEEP], flows[SLEEP:]


def keep(case: Case) -> None:
    """Keep a case, from now on to be run by itself."""
    with FOUND.open("a", encoding="ascii") as file:
        file.write(case.dumps() + "\n")


def require_counted(bench: "Bench", passed: Counter[tuple[FlowTuple, str, str]]) -> None:
    """The flows have counted what was forwarded, and nothing else."""
    for record in bench.dataplane.flows():
        for direction in ("to_transceiver", "to_client"):
            activity: Activity = getattr(record, direction)
            counted = activity.packets, activity.bytes
            key = record.flow, direction
            assert counted == (passed[*key, "packets"], passed[*key, "bytes"]), (SEED, record)
