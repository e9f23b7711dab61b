"""Round trips through one relay, and through two."""

import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.wire import stun
from relay.wire.endpoint import Endpoint
from relay.wire.route import NONCE_SIZE, Target, mint
from tests.lab.edge.network import (
    CLIENT,
    CLIENT_ADDRESS,
    CLUSTER,
    EDGE,
    EDGE_UPSTREAM,
    EDGE_VIP,
    RELAY_VIP,
)
from tests.lab.edge.site import EdgeSite, Settings
from tests.lab.errors import LabError

_PATIENCE = 1.0  # seconds after which a packet is lost
_PAYLOAD = bytes([0x80, 111]) + bytes(158)  # as large as RTP with 20 ms of Opus
_PORT = 40_000  # outside of the upstream ports
#: The ways: where the client is, and what it sends to.
_WAYS = {
    "relay": (EDGE, Endpoint(EDGE_UPSTREAM, _PORT), RELAY_VIP),
    "edge and relay": (CLIENT, Endpoint(CLIENT_ADDRESS, _PORT), EDGE_VIP),
}


@dataclass(frozen=True, slots=True)
class Way:
    """Round trips of one way to the far end and back.

    Attributes:
        dataplane: What each relay forwards with.
        stages: The relays on the way.
        p50: Median, in microseconds.
        p99: 99 of 100 are shorter.
        lost: Packets that did not come back.
        kernel: The share of packets at the first relay that its program forwarded.
        more: The median of how much longer a packet took than the one just before it through the
            relay alone, in microseconds.
    """

    dataplane: str
    stages: str
    p50: float
    p99: float
    lost: int
    kernel: float
    more: float


def run(dataplane: str, count: int, progress: Callable[[str], None]) -> list[Way]:
    """Measure both ways with a dataplane, `count` packets each, in turn."""
    settings = Settings(f"bench-edge-{dataplane}", dataplane, is_far=False, answers=False)
    with tempfile.TemporaryDirectory() as directory, EdgeSite(settings, Path(directory)) as site:
        times: dict[str, list[float | None]] = {name: [] for name in _WAYS}
        with _clients(site) as clients:
            progress(f"{dataplane}: {count} packets on each way")
            for number in range(count):
                # Without a pause: whoever came first after one would find all processors asleep.
                for name, client in clients.items():
                    times[name].append(_round_trip(client, number))
        one = times["relay"]
        return [_way(dataplane, name, each, one, site) for name, each in times.items()]


def _way(
    dataplane: str, name: str, took: list[float | None], one: list[float | None], site: EdgeSite
) -> Way:
    times = sorted(each for each in took if each is not None)
    more = sorted(
        each - before
        for each, before in zip(took, one, strict=True)
        if each is not None and before is not None
    )
    if not more:
        raise LabError(f"Nothing came back through {name}.")
    source, first = _WAYS[name][1], "edge" if "edge" in name else "relay"
    (flow,) = (each for each in site.status(first)["flows"] if each["client"] == str(source))
    passed = flow["to_transceiver"]
    return Way(
        dataplane,
        name,
        _at(times, 0.5),
        _at(times, 0.99),
        len(took) - len(times),
        passed["kernel_packets"] / passed["packets"],
        _at(more, 0.5),
    )


def _at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))] * 1e6


@contextmanager
def _clients(site: EdgeSite) -> Iterator[dict[str, socket.socket]]:
    """A client for each way, whose check has been answered."""
    made = {}
    try:
        for name, (host, source, vip) in _WAYS.items():
            with site.hosts[host].inside():
                made[name] = client = socket.socket(source.family, socket.SOCK_DGRAM)
            client.bind(source)
            client.connect(vip)
            client.settimeout(_PATIENCE)
            client.send(_check(site))
            client.recv(2048)
        yield made
    except TimeoutError:
        raise LabError("No answer to a check came back.") from None
    finally:
        for each in made.values():
            each.close()


def _check(site: EdgeSite) -> bytes:
    target, nonce = Target(CLUSTER, 1, 1), secrets.token_bytes(NONCE_SIZE)
    ufrag = mint(target, site.keys, now=time.time(), lifetime=3600, nonce=nonce).ufrag
    username = (stun.Attribute.USERNAME, f"{ufrag}:peer".encode())
    return stun.Message(
        stun.MessageClass.REQUEST, stun.BINDING, secrets.token_bytes(12), (username,)
    ).serialize(b"password")


def _round_trip(client: socket.socket, number: int) -> float | None:
    """How long a packet takes there and back, in seconds; None if it is lost."""
    packet = _PAYLOAD[:2] + (number & 0xFFFF).to_bytes(2, "big") + _PAYLOAD[4:]
    began = time.perf_counter()
    client.send(packet)
    try:
        while client.recv(2048) != packet:
            pass  # one that counts as lost already
    except TimeoutError:
        return None
    return time.perf_counter() - began
