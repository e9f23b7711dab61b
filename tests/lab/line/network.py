"""The lab's network with a line between the client and everything else.

```
  client ----- public ----- line ----- uplink ----- relay ----- internal ----- transceiver
     |                       | |                                                    |
     +------ signaling ------+ +---------------------- access ---------------------+
```

All addresses are those of `tests.lab.topology.TWO_NICS`: the line is a piece of wire.
"""

from tests.lab.topology import (
    ACCESS,
    CLIENT,
    HOSTS,
    INTERNAL,
    LINE,
    PUBLIC,
    RELAY,
    SIGNALING,
    TRANSCEIVER,
    TWO_NICS,
    UPLINK,
    Link,
    LinkEnd,
    Network,
)

_LINKS = {link.name: link for link in TWO_NICS.links}
_CLIENT, _RELAY = _LINKS[PUBLIC].ends
_CALLER, _SERVER = _LINKS[SIGNALING].ends

OVER_A_LINE = Network(
    (*HOSTS, LINE),
    (
        Link(PUBLIC, (LinkEnd(CLIENT, _CLIENT.addresses), LinkEnd(LINE))),
        Link(UPLINK, (LinkEnd(LINE, receives_xdp_redirect=True), LinkEnd(RELAY, _RELAY.addresses))),
        _LINKS[INTERNAL],
        Link(SIGNALING, (LinkEnd(CLIENT, routes=_CALLER.routes), LinkEnd(LINE))),
        Link(
            ACCESS,
            (
                LinkEnd(LINE),
                LinkEnd(TRANSCEIVER, _SERVER.addresses, routes=_SERVER.routes),
            ),
        ),
    ),
)
#: The pairs of interfaces that the line's program joins, that towards the client first.
PAIRS = ((PUBLIC, UPLINK), (SIGNALING, ACCESS))
