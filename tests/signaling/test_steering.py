from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.registry import Ingress, Relay
from relay.wire.endpoint import Endpoint
from signaling.placement import Near
from signaling.regions import Regions
from signaling.steering import near_to, steer

REGIONS = Regions.of(
    {
        "default": "eu",
        "prefixes": {"203.0.113.0/24": "us"},
        "next": {"eu": ["us"], "us": ["eu"]},
        "spill": 0.8,
    }
)
US_CLIENT, OTHER_CLIENT = "203.0.113.5", "198.51.100.1"


def ingress(
    name: str, region: str | None = None, *, taken: float = 0.0, closed: bool = False
) -> Ingress:
    vip = Endpoint("203.0.113.10", 3478)
    return Ingress((Relay(vip, (), (), name, region, taken=taken, closed=closed),))


def name_of(chosen: Ingress | None) -> str | None:
    return chosen.relays[0].name if chosen else None


FLEET = [ingress("eu-1", "eu"), ingress("us-1", "us"), ingress("ap-1", "ap")]


@pytest.mark.parametrize(
    ("region", "client", "chosen"),
    [
        ("ap", US_CLIENT, "ap-1"),  # what the edge tells counts first
        (None, US_CLIENT, "us-1"),
        (None, OTHER_CLIENT, "eu-1"),
        ("mars", US_CLIENT, "us-1"),  # nobody is there, and nobody stands in
    ],
)
def test_region_then_prefix_then_default(region: str | None, client: str, chosen: str) -> None:
    assert name_of(steer(region, client, FLEET, REGIONS, Random(1))) == chosen


def test_another_region_stands_in_where_one_takes_no_clients() -> None:
    fleet = [ingress("eu-1", "eu", closed=True), *FLEET[1:]]
    assert name_of(steer("eu", OTHER_CLIENT, fleet, REGIONS, Random(1))) == "us-1"


def test_any_is_better_than_none() -> None:
    fleet = [*(ingress(each, each, closed=True) for each in ("eu", "us")), FLEET[2]]
    assert name_of(steer("eu", US_CLIENT, fleet, REGIONS, Random(1))) == "ap-1"


def test_where_nobody_says_where_he_is_all_are_alike() -> None:
    fleet = [ingress("a"), ingress("b")]
    chosen = Counter(
        name_of(steer("eu", US_CLIENT, fleet, REGIONS, Random(seed))) for seed in range(200)
    )
    assert set(chosen) == {"a", "b"}
    assert min(chosen.values()) > 50


def test_clients_spread_over_equals_and_the_fuller_one_of_two_gets_none() -> None:
    equals = [ingress(str(number), "eu") for number in range(4)]
    random = Random(1)
    shares = Counter(name_of(steer("eu", "", equals, REGIONS, random)) for _ in range(4000))
    assert min(shares.values()) > 800
    two = [ingress("full", "eu", taken=0.9), ingress("free", "eu", taken=0.1)]
    assert {name_of(steer("eu", "", two, REGIONS, random)) for _ in range(50)} == {"free"}


@given(
    st.lists(st.builds(ingress, st.text(min_size=1), st.sampled_from(["eu", "us", None]),
                       closed=st.booleans())),
    st.sampled_from(["eu", "us", "ap", None]),
    st.integers(),
)  # fmt: skip
def test_no_closed_one_is_ever_advertised(
    fleet: list[Ingress], region: str | None, seed: int
) -> None:
    chosen = steer(region, US_CLIENT, fleet, REGIONS, Random(seed))
    free = [each for each in fleet if not each.closed]
    assert chosen in free if free else chosen is None


def test_a_call_wants_to_be_where_it_comes_in() -> None:
    assert near_to(FLEET[0], REGIONS) == Near(("eu", "us"), frozenset(), 0.8)
    assert near_to(ingress("a"), REGIONS).regions == ()
