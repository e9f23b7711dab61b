"""The dataplane is switched during a call, and nobody hears it."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from relay.admin import transport as admin
from relay.errors import AdminError
from tests.lab.call import Call
from tests.lab.config import RELAY_SERVICE, Options
from tests.lab.lab import Lab
from tests.lab.probe import Probe, Sample

pytestmark = [pytest.mark.e2e, pytest.mark.bpf]

BringUp = Callable[[Options], Lab]
Record = Callable[..., Any]

SWITCH_SECONDS = 30.0  # the program may have to be compiled first
WAIT = 10.0


@pytest.fixture(scope="module", params=["xdp", "userspace"])
def lab(request: pytest.FixtureRequest, bring_up: BringUp) -> Lab:
    return bring_up(Options(dataplane=request.param))


def test_call_goes_on_through_every_switch(lab: Lab, record: Record) -> None:
    def meanwhile(lab: Lab) -> None:
        for dataplane in ("userspace", "xdp", "userspace", "xdp"):
            answer = admin.ask(lab.admin, "switch", timeout=SWITCH_SECONDS, dataplane=dataplane)
            assert answer == {"dataplane": dataplane}
            _until_forwarding(Probe(lab), dataplane)

    call = record(lab, meanwhile=meanwhile)
    assert call.report["ok"], call.report["error"]
    assert (call.report["lost_to_server"], call.report["lost_to_client"]) == (0, 0)
    received = call.report["received"]
    assert (received["duplicates"], received["reordered"]) == (0, 0)


def test_unknown_dataplane_is_refused(lab: Lab) -> None:
    with pytest.raises(AdminError, match="switch to xdp or to userspace"):
        admin.ask(lab.admin, "switch", dataplane="auto")


def _until_forwarding(probe: Probe, dataplane: str) -> None:
    """Until some more packets went through this dataplane, and it alone."""

    def counts(sample: Sample) -> tuple[int, int]:
        kernel = sample.by_kernel.packets if sample.by_kernel else 0
        agent = sample.by_agent.packets if sample.by_agent else 0
        return (kernel, agent) if dataplane == "xdp" else (agent, kernel)

    wanted, other = counts(probe.sample())
    deadline = time.monotonic() + WAIT
    while True:
        now, other_now = counts(probe.sample())
        if now >= wanted + 40:
            break
        assert time.monotonic() < deadline, f"{dataplane} does not forward"
        time.sleep(0.02)
    # The agent may see a few packets that were on their way up at the moment of the switch.
    assert other_now <= other + 2


def test_userspace_agent_takes_a_loaded_program_out_of_the_way(bring_up: BringUp) -> None:
    lab = bring_up(Options(dataplane="xdp"))
    lab.kill(RELAY_SERVICE)
    (lab.directory / "relay.toml").write_text(
        (lab.directory / "relay.toml").read_text().replace('"xdp"', '"userspace"')
    )
    lab.start(RELAY_SERVICE)
    with Call(lab, 2.0) as call:
        report = call.report()
    assert report["ok"], report["error"]
    status = admin.ask(lab.admin, "status")
    assert status["dataplane"] == "userspace"
    (flow,) = status["flows"]
    assert flow["to_transceiver"]["kernel_packets"] == 0
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)
