"""Everyone who takes part, in the order of tables."""

from relay.comparison.arena import MOST_FLOWS
from relay.comparison.contestants.ceiling import Ceiling
from relay.comparison.contestants.coturn import Coturn
from relay.comparison.contestants.crelay import C_RELAY
from relay.comparison.contestants.gorelay import GO_RELAY
from relay.comparison.contestants.icelane import MOST_CHECKED, Icelane
from relay.comparison.contestants.nftables import Nftables
from relay.comparison.contestants.nginx import Nginx
from relay.comparison.contestants.routing import Routing
from relay.comparison.model import Contestant

ALL: tuple[Contestant, ...] = (
    Icelane("icelane xdp", "xdp", MOST_FLOWS),
    Icelane("icelane userspace", "userspace", MOST_CHECKED),
    Icelane("icelane userspace, 2 workers", "userspace", MOST_CHECKED, workers=2),
    Ceiling(),
    Routing(),
    Nftables(flowtable=False),
    Nftables(flowtable=True),
    Nginx(),
    Coturn(),
    C_RELAY,
    GO_RELAY,
)
