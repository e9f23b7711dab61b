"""Two relays that each believe to have a client: one of them has it in the end."""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.bench.failover.measure import RealCalls, judge, running
from tests.bench.failover.plan import CALLS, Form
from tests.lab.fleet.network import RELAYS
from tests.lab.fleet.site import Site, require

pytestmark = [pytest.mark.netns, pytest.mark.bpf, pytest.mark.e2e, pytest.mark.alone]

COUNT = 8
LIMIT = 20.0  # seconds


@pytest.fixture(params=["xdp", "userspace"])
def stage(request: pytest.FixtureRequest) -> Iterator[tuple[Site, RealCalls]]:
    require("nft")
    with running(Form(CALLS, request.param, True, 1, COUNT, 0.0, bfd=50)) as (site, calls):
        assert isinstance(calls, RealCalls)
        yield site, calls


def holders(site: Site) -> dict[str, list[str]]:
    """The names of the relays that have a client's flow, by client."""
    found: dict[str, list[str]] = {}
    for relay in RELAYS:
        for flow in site.ask(relay, "status")["flows"]:
            if flow["state"] == "confirmed":
                found.setdefault(flow["client"], []).append(relay.name)
    return found


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, f"not within {LIMIT:.0f} s: {what}"
        time.sleep(0.1)


def test_relays_that_were_split_agree_on_the_one_that_the_client_reaches(
    stage: tuple[Site, RealCalls],
) -> None:
    site, calls = stage
    counted = Counter(name for names in holders(site).values() for name in names)
    lonely = max(RELAYS, key=lambda relay: counted[relay.name])
    others = [relay for relay in RELAYS if relay != lonely]
    its = {client for client, names in holders(site).items() if names == [lonely.name]}
    site.split(lonely)
    # Its clients go to others, of which it hears nothing, and come back.
    site.drain(lonely)
    site.wait_for(*others)
    eventually(
        lambda: all(len(holders(site)[client]) == 2 for client in its), "others have taken over"
    )
    site.undrain(lonely)
    site.wait_for(*RELAYS)
    calls.begin()
    since = time.time()
    site.rejoin(lonely)

    def agreed() -> bool:
        # On a busy machine BFD may find a relay gone for a moment, and its clients are elsewhere.
        found = holders(site)
        return all(len(names) == 1 for names in found.values()) and all(
            found[client] == [lonely.name] for client in its
        )

    eventually(agreed, "one relay has each, and the lonely one its own")
    eventually(lambda: not calls.silent(time.time() - 1.0), "all calls are heard")
    gaps = judge(calls, since)
    reached = Counter(gap.after for gap in gaps)
    assert reached == Counter(name for (name,) in holders(site).values())
    assert (reached.total(), reached[lonely.name] >= len(its)) == (COUNT, True)
    assert [gap for gap in gaps if gap.lost] == []
