"""What is assumed of the world: people, places, calls, machines. Everything else is measured."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from relay.core.limits import Limits
from relay.mirror import asked
from relay.run.config import RelayConfig
from relay.wire.endpoint import Endpoint
from transceiver import DEFAULT_CAPACITY

WEEK, DAY, HOUR = 604_800.0, 86_400.0, 3_600.0  # seconds

# The one figure that was published.
USERS = 900_000_000  # a week

SPEAKING = 0.10  # of them, in a week
CALLS = 3.0  # a week, of one who speaks
MEAN = 360.0  # seconds of a call
SIGMA = 1.2  # of its logarithm: many are short, some last for hours
SWING = 0.75  # of the mean rate, up and down over a day
BUSIEST = 20.0  # o'clock, local time
PACKETS = 102.0  # a second and call, both ways: Opus at 20 ms, and reports
REDIAL = 5.0  # seconds within which whoever is cut off calls again

CORES = 8  # of a relay, that forward
UPSTREAMS = 4  # internal addresses of a relay
SHARDS = 3  # of Redis, in each region
HOST = 32  # slots on a transceiver's machine
SPARE = 0.40  # of a cluster's places, beyond its own busiest hour
FULL = 0.70  # of a relay's upstream ports, at that hour

DETECTION = 0.030  # seconds until routers notice a dead relay: BFD, 10 ms three times
CHECK_EVERY = 2.5  # seconds between a client's ICE checks: Chromium

EARTH = 6_371.0  # km
FIBRE = 200_000.0  # km a second
INTERNET = 2.0  # times the great circle, on the public internet
BACKBONE = 1.3  # the same, between an operator's own sites
ACCESS = 0.020  # seconds of round trip in a client's access network
NEAR = 1_500.0  # km from a region's city within which its clients are
LOST = 0.010  # of round trips, for every 10,000 km of public internet
LOST_BACKBONE = 0.0005  # the same, between own sites
RESENT = 0.5  # seconds until a lost request is repeated (RFC 8445 section 14.3)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the world.

    Attributes:
        name: Of it.
        city: Where its relays are.
        latitude: Degrees north.
        longitude: Degrees east.
        share: Of all users.
        clustered: Whether it has transceivers, too.
    """

    name: str
    city: str
    latitude: float
    longitude: float
    share: float
    clustered: bool

    def distance(self, other: "Region") -> float:
        """Kilometres along the great circle."""
        a, b = math.radians(self.latitude), math.radians(other.latitude)
        turn = math.radians(self.longitude - other.longitude)
        cosine = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(turn)
        return EARTH * math.acos(min(1.0, cosine))

    def scaled(self, share: float) -> "Region":
        """The same region with fewer users."""
        return replace(self, share=self.share * share)

    def rate(self, moment: float) -> float:
        """Calls that begin in a second, so many seconds after midnight in UTC."""
        local = moment / HOUR + self.longitude / 15
        swing = 1 + SWING * math.cos(2 * math.pi * (local - BUSIEST) / 24)
        return self.share * MEAN_RATE * swing

    @property
    def most(self) -> float:
        """The same in the busiest hour."""
        return self.share * MEAN_RATE * (1 + SWING)

    @property
    def busiest(self) -> float:
        """When that is, in seconds after midnight in UTC."""
        return (BUSIEST - self.longitude / 15) % 24 * HOUR


MEAN_RATE = USERS * SPEAKING * CALLS / WEEK  # calls that begin in a second, all over the world

REGIONS = (
    Region("North America", "Ashburn", 39.0, -77.5, 0.22, clustered=True),
    Region("Latin America", "São Paulo", -23.5, -46.6, 0.12, clustered=False),
    Region("Europe", "Frankfurt", 50.1, 8.7, 0.24, clustered=True),
    Region("Africa", "Johannesburg", -26.2, 28.0, 0.07, clustered=False),
    Region("Middle East", "Dubai", 25.2, 55.3, 0.06, clustered=False),
    Region("South Asia", "Mumbai", 19.1, 72.9, 0.14, clustered=False),
    Region("East Asia", "Tokyo", 35.7, 139.7, 0.12, clustered=True),
    Region("Oceania", "Sydney", -33.9, 151.2, 0.03, clustered=False),
)
NAMED = {each.name: each for each in REGIONS}


def nearest(region: Region, regions: tuple[Region, ...] = REGIONS) -> list[Region]:
    """The regions with transceivers, the nearest first."""
    return sorted((each for each in regions if each.clustered), key=region.distance)


def length(random: Random) -> float:
    """Seconds of a call, drawn."""
    return random.lognormvariate(_MU, SIGMA)


def rest(random: Random) -> float:
    """Seconds that a call lasts that is met at some moment: long ones are met more often."""
    return random.random() * random.lognormvariate(_MU + SIGMA**2, SIGMA)


_MU = math.log(MEAN) - SIGMA**2 / 2

RELAY = RelayConfig(
    vips=(Endpoint("203.0.113.10", 3478),),
    upstreams=tuple(f"192.0.2.{number + 1}" for number in range(UPSTREAMS)),
    keys=Path("keys.toml"),
    redis="redis://redis",
)
LIMITS: Limits = RELAY.limits
GATE = RELAY.rates.unknown_client
PLACES = DEFAULT_CAPACITY  # of a transceiver's slot, which is a core

ASSUMPTIONS: tuple[tuple[str, str, str], ...] = (
    ("users in a week", f"{USERS:,}", "published"),
    ("of them speak", f"{SPEAKING:.0%}", "assumed"),
    ("calls of one in a week", f"{CALLS:.0f}", "assumed"),
    (
        "length of a call",
        f"{MEAN / 60:.0f} min mean, {math.exp(_MU) / 60:.1f} median: log-normal, sigma {SIGMA}",
        "assumed",
    ),
    (
        "over a day",
        f"a cosine of local time, {SWING:.0%} of the mean up and down, most at {BUSIEST:.0f}:00",
        "assumed",
    ),
    ("packets of a call", f"{PACKETS:.0f} a second, both ways together", "Opus at 20 ms, RTCP"),
    (
        "whoever is cut off",
        f"calls again within {REDIAL:.0f} s, for the rest of the call",
        "assumed",
    ),
    ("a relay", f"{CORES} cores that forward, one for its agent", "assumed"),
    (
        "its upstream addresses",
        f"{UPSTREAMS} of {len(RELAY.ports):,} ports, {FULL:.0%} of them used in the busiest hour",
        "assumed; default of `--ports`",
    ),
    ("a transceiver's slot", f"{PLACES} calls on a core", "default of `--capacity`"),
    ("a transceiver's machine", f"{HOST} slots", "assumed"),
    ("places of a cluster", f"{SPARE:.0%} more than its own busiest hour needs", "assumed"),
    ("Redis", f"{SHARDS} shards in each region", "assumed"),
    ("a record is refreshed", f"every {LIMITS.store_every:.0f} s", "a third of `--idle`"),
    ("a dead relay is noticed", f"after {DETECTION * 1000:.0f} ms", "BFD, 10 ms x 3"),
    (
        "unknown packets that reach a relay's agent",
        f"{GATE.rate:,} a second, {GATE.burst:,} at once",
        "the dataplane's setting",
    ),
    (
        "records of neighbours in a relay's mind",
        f"{LIMITS.flows:,}; {asked.MOST:,} more are looked up in {asked.ASKED_FOR:.0f} s",
        "the mirror's settings",
    ),
    ("a client checks", f"every {CHECK_EVERY} s", "Chromium"),
    ("light in fibre", f"{FIBRE:,.0f} km a second", "physics"),
    (
        "detours",
        f"{INTERNET} times the great circle on the internet, {BACKBONE} between own sites",
        "assumed",
    ),
    (
        "a client",
        f"at most {NEAR:,.0f} km from its region's city, {ACCESS * 1000:.0f} ms of access network",
        "assumed",
    ),
    (
        "round trips lost",
        f"{LOST:.1%} for 10,000 km of internet, {LOST_BACKBONE:.2%} between own sites",
        "assumed",
    ),
    ("what is lost is repeated", f"after {RESENT * 1000:.0f} ms", "RFC 8445"),
)
