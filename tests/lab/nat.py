"""A lab behind a cloud's 1:1 NAT: the relay has private addresses only.

```
  client ----- public ----- nat ----- cloud ----- relay ----- internal ----- transceiver
     |   203.0.113.0/24   .10|.1   10.0.0.0/24  .5     192.0.2.0/24               |
     |   2001:db8:1::/64            fd00:10::/64       2001:db8:2::/64            |
     +---------------------------------- signaling -------------------------------+
```

What is sent to the public addresses of the relay arrives at its private ones, on every port, and
what it sends leaves from the public ones. The client's own address stays as it is.
"""

import subprocess

from relay.netns.host import Host
from tests.lab.errors import LabError
from tests.lab.topology import (
    CLIENT,
    CLOUD,
    HOSTS,
    INTERNAL,
    NAT,
    PUBLIC,
    RELAY,
    SIGNALING,
    TWO_NICS,
    Link,
    LinkEnd,
    Network,
    address,
)

_TWO_NICS = {link.name: link for link in TWO_NICS.links}
_CLIENT, _RELAY = _TWO_NICS[PUBLIC].ends

BEHIND_NAT = Network(
    (*HOSTS, NAT),
    (
        # The NAT has the addresses that are the relay's without it.
        Link(PUBLIC, (LinkEnd(CLIENT, _CLIENT.addresses), LinkEnd(NAT, _RELAY.addresses))),
        Link(
            CLOUD,
            (
                LinkEnd(NAT, ("10.0.0.1/24", "fd00:10::1/64"), receives_xdp_redirect=True),
                LinkEnd(
                    RELAY,
                    ("10.0.0.5/24", "fd00:10::5/64"),
                    gateways=("10.0.0.1", "fd00:10::1"),
                ),
            ),
        ),
        _TWO_NICS[INTERNAL],
        _TWO_NICS[SIGNALING],
    ),
)


def public(version: int = 4) -> str:
    """The address that the relay has for the client."""
    return address(NAT, PUBLIC, version=version, network=BEHIND_NAT)


def private(version: int = 4) -> str:
    """The address that the relay has."""
    return address(RELAY, CLOUD, version=version, network=BEHIND_NAT)


def rules() -> str:
    """The translation, as nft reads it."""
    return f"""\
table inet icelane_nat {{
	chain arriving {{
		type nat hook prerouting priority dstnat
		ip daddr {public()} dnat ip to {private()}
		ip6 daddr {public(6)} dnat ip6 to {private(6)}
	}}
	chain leaving {{
		type nat hook postrouting priority srcnat
		ip saddr {private()} snat ip to {public()}
		ip6 saddr {private(6)} snat ip6 to {public(6)}
	}}
}}
"""


def translate(host: Host) -> None:
    """Have a host route and translate; the rules go with it.

    Raises:
        LabError: The kernel refuses the rules.
    """
    host.sysctl("ipv4/ip_forward", 1)
    host.sysctl("ipv6/conf/all/forwarding", 1)
    line = host.command(["nft", "--file", "-"])
    done = subprocess.run(line, check=False, input=rules(), capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"nft refuses the rules of the NAT: {done.stderr.strip()}")
