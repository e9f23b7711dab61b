"""A fleet with its flows, of which every relay loses its machine once, one after the other."""

import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.errors import BenchError
from tests.bench.failover.flows import Flows
from tests.bench.failover.gaps import quantile
from tests.bench.failover.measure import LONGEST
from tests.bench.failover.strays import Stray
from tests.bench.fleet.load import RedisLoad
from tests.lab.fleet import priorities
from tests.lab.fleet.network import TRANSCEIVER
from tests.lab.fleet.site import Settings, Site

SHARDS, MOST_UPSTREAMS = 3, 3
_SPARE_FILES = 500
_PORTS_OF_A_CLIENT = 25_000  # an address has this many for sockets that choose their own
_PORTS_OF_AN_UPSTREAM = range(2_000, 65_000)
_FULL = 0.7  # of its ports: what is freed rests
_PERIODS = 2.5  # of a flow, after which each has had its turn


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is run.

    Attributes:
        relays: How many relays.
        flows: Of all of them together.
        rate: Packets a second of a flow, each way.
        check_every: Seconds between two checks of a client.
        dataplane: The relays'.
    """

    relays: int
    flows: int
    rate: float
    check_every: float
    dataplane: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        killed: How many relays were killed, and came back.
        connected: Seconds in which all flows were set up.
        moved: Flows that came to another relay, of all kills together.
        sent: Packets, both ways.
        lost: Those of them that did not arrive.
        silence: Seconds of a moved flow without a packet that arrived, of which a period of its
            packets is none: median, p99, longest.
        lost_flows: Flows of which nothing arrives any more in one direction, after all clients have
            checked once more.
        misdelivered: Packets that came to somebody else.
        strays: What is known of each of them, or the first thousand.
        redis_requests: The most requests of Redis in a second.
        redis_busiest: The same of its busiest shard.
        redis_megabytes: The most memory of all shards.
        redis_records: The most keys: those of flows, and the registry's.
    """

    killed: int
    connected: float
    moved: int
    sent: int
    lost: int
    silence: tuple[float, float, float]
    lost_flows: int
    misdelivered: int
    strays: tuple[Stray, ...]
    redis_requests: int
    redis_busiest: int
    redis_megabytes: float
    redis_records: int


def measure(fleet: Fleet, say: Callable[[str], None]) -> Outcome:
    """Run it.

    Raises:
        BenchError: This process may not have so many sockets.
        LabError: Something does not start, or a route does not come or go.
        NetnsError: A host cannot be created.
    """
    _allow_files(fleet.flows + _SPARE_FILES)
    addresses = -(-fleet.flows // _PORTS_OF_A_CLIENT)
    clients = tuple(f"198.51.100.{2 + number}" for number in range(addresses))
    name = f"fleet-{os.getpid()}"
    ports = _PORTS_OF_AN_UPSTREAM
    upstreams = -(-fleet.flows // round(len(ports) * _FULL * (fleet.relays - 1)))
    if upstreams > MOST_UPSTREAMS:
        raise BenchError(
            f"{fleet.flows:,} flows need more ports than {fleet.relays} relays have: take more "
            "--relays, or fewer --flows"
        )
    settings = Settings(
        name,
        fleet.dataplane,
        relays=fleet.relays,
        shards=SHARDS,
        clients=clients,
        upstreams=upstreams,
        ports=f"{ports[0]}-{ports[-1]}",
    )
    with tempfile.TemporaryDirectory() as directory, Site(settings, Path(directory)) as site:
        priorities.come_first()
        try:
            return _killed_in_turn(site, fleet, say)
        finally:
            priorities.be_as_others()


def _killed_in_turn(site: Site, fleet: Fleet, say: Callable[[str], None]) -> Outcome:
    began = time.monotonic()
    say(f"{fleet.relays} relays are there, {fleet.flows:,} flows begin")
    flows = Flows(site, fleet.flows, fleet.rate, fleet.check_every)
    with RedisLoad(site.hosts[TRANSCEIVER], site.shards) as load, flows:
        connected = time.monotonic() - began
        time.sleep(_PERIODS * flows.period)
        first, silences, moved = time.time(), list[float](), 0
        for relay in site.relay_hosts:
            say(f"{relay.host} is killed, {flows.age:.1f} s after the flows began")
            others = [other for other in site.relay_hosts if other != relay]
            flows.mark()
            since = time.time()
            site.kill(relay)
            site.wait_for(*others)
            _wait_until_heard(flows, fleet.check_every)
            those = [gap for gap in flows.gaps(since, time.time()) if gap.before != gap.after]
            moved += len(those)
            silences += [max(0.0, gap.silence - flows.period) for gap in those]
            say(f"{relay.host} starts again, at {flows.age:.1f} s")
            site.boot(relay)
            site.wait_for(*site.relay_hosts)
            _wait_until_heard(flows, fleet.check_every)
        flows.check()
        time.sleep(fleet.check_every)  # whom no mirror has helped comes back by a check
        last = time.time()
        time.sleep(_PERIODS * flows.period)
        ways = [way for g in flows.gaps(first, last) for way in (g.to_transceiver, g.to_client)]
        spread = tuple(quantile(silences, share) for share in (0.5, 0.99, 1.0))
        return Outcome(
            killed=len(site.relay_hosts),
            connected=connected,
            moved=moved,
            sent=round(len(ways) * (last - first) * fleet.rate),
            lost=sum(way.lost for way in ways),
            silence=(spread[0], spread[1], spread[2]),
            lost_flows=flows.unheard(last),
            misdelivered=flows.misdelivered,
            strays=tuple(flows.strays),
            redis_requests=load.requests,
            redis_busiest=load.busiest,
            redis_megabytes=round(load.megabytes, 1),
            redis_records=load.records,
        )


def _wait_until_heard(flows: Flows, check_every: float) -> None:
    """Wait for a packet of each flow that is sent from now on, or longer than a check takes."""
    since = time.time()
    time.sleep(_PERIODS * flows.period)
    while flows.silent(since) and time.time() < since + check_every + LONGEST:
        time.sleep(flows.period)


def _allow_files(wanted: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < wanted:
        raise BenchError(
            f"each flow's client is a socket: {wanted:,} open files are wanted, of which this "
            f"process may have {most:,}: raise that with `ulimit -n`, or take fewer --flows"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
