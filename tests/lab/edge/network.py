"""A network with an edge: the client is near to it, and its cluster far away. Pure.

```
  client ----- access ----- edge ----- backbone ----- line ----- haul ----- relay
     |   203.0.113.0/24             2001:db8:2::/64                           |
     |                                                                     internal 192.0.2.0/24
     +------------------ signaling 198.51.100.0/24 ------------------ transceiver
```

Edge and relay reach each other over IPv6 alone. Whatever is between them takes the line, which can
be as long as one likes; signaling has a link of its own. In `NEAR` there is no line: the backbone
leads from the edge to the relay.
"""

from relay.wire.endpoint import Endpoint
from tests.lab.topology import Link, LinkEnd, Network

CLIENT, EDGE, LINE, RELAY, TRANSCEIVER = "client", "edge", "line", "relay", "transceiver"
ACCESS, BACKBONE, HAUL, INTERNAL, SIGNALING = (
    "access",
    "backbone",
    "haul",
    "internal",
    "signaling",
)
CLUSTER = 2

CLIENT_ADDRESS = "203.0.113.2"
EDGE_VIP = Endpoint("203.0.113.10", 3478)
EDGE_UPSTREAM = "2001:db8:2::1"
RELAY_VIP = Endpoint("2001:db8:2::10", 3478)
RELAY_UPSTREAM = "192.0.2.1"
MEDIA = Endpoint("192.0.2.2", 5000)
CONTROL = Endpoint("192.0.2.2", 9000)
SIGNALING_ENDPOINT = Endpoint("198.51.100.2", 8080)
SIGNALING_URL = f"http://{SIGNALING_ENDPOINT}"

_ACCESS = Link(
    ACCESS,
    (
        LinkEnd(CLIENT, (f"{CLIENT_ADDRESS}/24",), receives_xdp_redirect=True),
        LinkEnd(EDGE, (f"{EDGE_VIP.host}/24",)),
    ),
)
_EDGE_END = LinkEnd(EDGE, (f"{EDGE_UPSTREAM}/64",))
_RELAY_END = LinkEnd(RELAY, (f"{RELAY_VIP.host}/64",))
_LINE_END = LinkEnd(LINE, receives_xdp_redirect=True)
_INTERNAL = Link(
    INTERNAL,
    (
        LinkEnd(RELAY, (f"{RELAY_UPSTREAM}/24",)),
        LinkEnd(TRANSCEIVER, (f"{MEDIA.host}/24",), receives_xdp_redirect=True),
    ),
)
_SIGNALING = Link(
    SIGNALING,
    (
        LinkEnd(CLIENT, routes=(("198.51.100.0/24", CLIENT_ADDRESS),)),
        LinkEnd(
            TRANSCEIVER,
            (f"{SIGNALING_ENDPOINT.host}/24",),
            routes=((f"{CLIENT_ADDRESS}/32", None),),
        ),
    ),
)

FAR = Network(
    (CLIENT, EDGE, LINE, RELAY, TRANSCEIVER),
    (
        _ACCESS,
        Link(BACKBONE, (_EDGE_END, _LINE_END)),
        Link(HAUL, (_LINE_END, _RELAY_END)),
        _INTERNAL,
        _SIGNALING,
    ),
)
NEAR = Network(
    (CLIENT, EDGE, RELAY, TRANSCEIVER),
    (_ACCESS, Link(BACKBONE, (_EDGE_END, _RELAY_END)), _INTERNAL, _SIGNALING),
)
