"""BIRD on the router and the relays, with the configuration that is documented (docs/bgp.md)."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from relay.netns.host import Host
from tests.lab.errors import LabError
from tests.lab.fleet import priorities
from tests.lab.fleet.network import HEALTH, VIP, RelayHost
from tests.lab.service import Service

DOCUMENTED = Path(__file__).parents[3] / "docs" / "deploy" / "bird"
_RELAY_AS, _ROUTER_AS = 64500, 64496  # RFC 5398
_LAST_RESORT = 2  # the weight of hops that are taken while no relay is announced; others have 1
# How long it takes is what is measured. Where a machine is kept from its processors for longer than
# BFD waits, all sessions end again and again, and it takes many seconds.
_CONVERGE_SECONDS = 60.0
_POLL_SECONDS = 0.003


def router_config(directory: Path, relays: Sequence[RelayHost], bfd: int) -> Path:
    """Write the configuration of the router of these relays, with BFD each so many milliseconds."""
    peers = "".join(
        f"protocol bgp relay_{relay.name} from relays {{ neighbor {relay.address}; }}\n"
        for relay in relays
    )
    if len(relays) > 1:  # of one hop alone the kernel tells no weight
        hops = " ".join(f"via {relay.address} weight {_LAST_RESORT}" for relay in relays)
        peers += f"protocol static last_resort from anyway {{ route VIP {hops}; }}\n"
    text = _common("198.51.100.1", bfd) + f'include "{DOCUMENTED / "router.conf"}";\n' + peers
    return _write(directory / "bird-router.conf", text)


def relay_config(directory: Path, relay: RelayHost, bfd: int) -> Path:
    """Write a relay's configuration, with BFD each so many milliseconds."""
    text = (
        _common(relay.address, bfd)
        + f"define RELAY = {relay.address};\ndefine ROUTER = {relay.router};\n"
        + f'include "{DOCUMENTED / "relay.conf"}";\n'
    )
    return _write(directory / f"bird-{relay.name}.conf", text)


def bird(name: str, host: str, config: Path) -> Service:
    """BIRD on a host."""
    control = config.with_suffix(".ctl")
    # As docs/bgp.md advises: BFD has to be heard each few milliseconds.
    command = (
        *priorities.prefix(priorities.ROUTING),
        "bird",
        "-f",
        "-c",
        str(config),
        "-s",
        str(control),
    )
    return Service(bird_name(name), host, command, ready="Started")


def bird_name(name: str) -> str:
    """What the service is called."""
    return f"bird-{name}"


def follower(relay: RelayHost, config: Path) -> Service:
    """What has BIRD announce a relay that is ready."""
    command = (
        *priorities.prefix(),
        *(sys.executable, str(DOCUMENTED / "follow_health.py")),
        *("--url", f"http://{HEALTH}/readyz", "--every", "0.05", "--fall", "40"),
        *("--birdc", f"birdc -s {config.with_suffix('.ctl')}"),
    )
    return Service(f"health-{relay.name}", relay.host, command, ready="^announced")


def announced(router: Host, relays: Sequence[RelayHost]) -> frozenset[str]:
    """The names of those of the relays to which the router's kernel sends clients as announced.

    Another program asks the kernel: this one's threads have calls to serve meanwhile.
    """
    command = router.command(("ip", "-json", "route", "show", f"{VIP.host}/32"))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    routes = json.loads(done.stdout or "[]")
    hops = [
        hop.get("gateway")
        for route in routes
        for hop in route.get("nexthops", [route])
        if hop.get("weight") != _LAST_RESORT
    ]
    return frozenset(relay.name for relay in relays if relay.address in hops)


def wait_for(router: Host, relays: Sequence[RelayHost], names: frozenset[str]) -> None:
    """Wait until the router sends clients to those of its relays that have these names.

    Raises:
        LabError: It does not.
    """
    deadline = time.monotonic() + _CONVERGE_SECONDS
    while (now := announced(router, relays)) != names:
        if time.monotonic() > deadline:
            raise LabError(
                f"After {_CONVERGE_SECONDS:.0f} s the router sends clients to "
                f"{', '.join(sorted(now)) or 'nobody'}, not to {', '.join(sorted(names))}."
            )
        time.sleep(_POLL_SECONDS)


def _common(identity: str, bfd: int) -> str:
    return (
        "log stderr all;\n"
        f"router id {identity};\n"
        f"define RELAY_AS = {_RELAY_AS};\ndefine ROUTER_AS = {_ROUTER_AS};\n"
        f"define VIP = {VIP.host}/32;\ndefine BFD_INTERVAL = {bfd};\n"
    )


def _write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path
