"""Calls through a cloud's 1:1 NAT: the relay has private addresses, clients are told public ones.

In both dataplanes, and over both IP versions: what is advertised is changed for each.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from relay.admin.transport import ask
from relay.caller.errors import Failure
from relay.wire import stun
from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint
from tests.lab import config
from tests.lab.call import Call
from tests.lab.config import (
    ADVERTISED,
    MEDIA,
    PRIVATE_VIPS,
    SIGNALING_SERVICE,
    UPSTREAM,
    Options,
)
from tests.lab.delivery import rtp_delivery
from tests.lab.frame import Datagram
from tests.lab.lab import Lab
from tests.lab.topology import CLIENT, NAT, PUBLIC, address

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

SECONDS = 3.0
PACKETS = SECONDS * 50  # one for 20 ms of audio


@pytest.fixture(scope="module", params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def lab(request: pytest.FixtureRequest, bring_up: Callable[[Options], Lab]) -> Lab:
    return bring_up(Options(dataplane=request.param, nat=True))


@pytest.fixture(scope="module", params=[0, 1], ids=["ipv4", "ipv6"])
def version(request: pytest.FixtureRequest) -> int:
    """Which of the relay's addresses a call uses, by their place in the lists of both."""
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def call(lab: Lab, version: int, record: Callable[[Lab, float], Any]) -> Any:
    advertise(lab, {PRIVATE_VIPS[version]: ADVERTISED[version]})
    return record(lab, SECONDS)


def advertise(lab: Lab, relays: dict[Endpoint, Endpoint | None]) -> None:
    """Have signaling read another registry, which tells clients this of the relay's VIPs."""
    lab.kill(SIGNALING_SERVICE)
    (lab.directory / "registry.toml").write_text(config.registry_text(relays))
    lab.start(SIGNALING_SERVICE)


def client(version: int) -> str:
    return address(CLIENT, PUBLIC, version=(4, 6)[version])


def received_by(host: str, datagrams: Iterable[Datagram]) -> list[Datagram]:
    return [each for each in datagrams if each.destination.host == host]


def sent_by(host: str, datagrams: Iterable[Datagram]) -> list[Datagram]:
    return [each for each in datagrams if each.source.host == host]


def caller(call: Any, version: int) -> Endpoint:
    """Where the client sends from."""
    (source,) = {each.source for each in sent_by(client(version), call.at_client)}
    found: Endpoint = source
    return found


def test_audio_goes_there_and_comes_back_and_none_is_lost(call: Any, version: int) -> None:
    report = call.report
    assert report["ok"], report["error"]
    assert report["remote"] == str(ADVERTISED[version])
    assert report["received"]["packets"] >= 0.9 * PACKETS
    assert report["received"]["energy"] > 0.001
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)


def test_no_packet_is_lost_or_doubled_on_the_wire(call: Any, version: int) -> None:
    mine = client(version)
    there = rtp_delivery(
        sent_by(mine, call.at_client), received_by(MEDIA.host, call.at_transceiver)
    )
    back = rtp_delivery(sent_by(MEDIA.host, call.at_transceiver), received_by(mine, call.at_client))
    for delivery in (there, back):
        assert delivery.sent >= 0.9 * PACKETS
        assert (delivery.lost, delivery.duplicated) == (0, 0)
    assert all(each.intact for each in (*call.at_client, *call.at_transceiver))


def test_the_client_hears_from_the_advertised_address_alone(call: Any, version: int) -> None:
    assert {each.source for each in received_by(client(version), call.at_client)} == {
        ADVERTISED[version]
    }
    assert {each.source.host for each in received_by(MEDIA.host, call.at_transceiver)} == {UPSTREAM}


def test_the_client_is_told_the_address_at_which_the_relay_sees_it(call: Any, version: int) -> None:
    told = {
        stun.unxor_address(mapped, message.transaction_id)
        for each in received_by(client(version), call.at_client)
        if classify(each.payload) is Kind.STUN
        and (message := stun.Message.parse(each.payload)).message_class is stun.MessageClass.SUCCESS
        and (mapped := message.get(stun.Attribute.XOR_MAPPED_ADDRESS)) is not None
    }
    assert told == {caller(call, version)}
    assert call.flows[str(caller(call, version))]["vip"] == str(PRIVATE_VIPS[version])


def test_the_dataplane_that_was_asked_for_forwards(lab: Lab, call: Any, version: int) -> None:
    flow = call.flows[str(caller(call, version))]
    for direction in (flow["to_transceiver"], flow["to_client"]):
        assert direction["packets"] > 0.9 * PACKETS
        in_kernel = direction["kernel_packets"] / direction["packets"]
        assert in_kernel > 0.98 if lab.options.dataplane == "xdp" else in_kernel == 0


def test_the_lab_knows_its_nat_from_its_name_alone(lab: Lab) -> None:
    assert Lab(lab.name).host(NAT).exists()


def test_the_agent_tells_what_it_binds_and_what_clients_are_told(lab: Lab) -> None:
    status = ask(lab.admin, "status")
    assert status["vips"] == list(map(str, PRIVATE_VIPS))
    assert status["advertised"] == list(map(str, ADVERTISED))


@pytest.mark.parametrize("lab", ["userspace"], indirect=True)
def test_without_what_to_advertise_a_call_fails_and_says_where_nobody_answered(lab: Lab) -> None:
    advertise(lab, dict.fromkeys(PRIVATE_VIPS))
    with Call(lab, SECONDS) as call:
        report = call.report()
    where = ", ".join(map(str, PRIVATE_VIPS))
    assert report["error"] == {
        "code": Failure.ICE_FAILED,
        "message": f"ICE failed: no answer from {where} over UDP",
    }


def test_a_browser_talks_through_the_nat(lab: Lab, browse: Callable[[Lab], Any]) -> None:
    advertise(lab, dict(zip(PRIVATE_VIPS, ADVERTISED, strict=True)))
    seen = browse(lab)
    assert seen["called"]["error"] is None
    raw = {each["id"]: each for each in seen["raw"]}
    (inbound,) = (each for each in raw.values() if each["type"] == "inbound-rtp")
    assert inbound["packetsReceived"] > 100
    assert inbound["packetsLost"] == 0
    (transport,) = (each for each in raw.values() if each["type"] == "transport")
    remote = raw[raw[transport["selectedCandidatePairId"]]["remoteCandidateId"]]
    assert Endpoint(remote["address"].strip("[]"), remote["port"]) in ADVERTISED
    assert remote["candidateType"] == "host"
