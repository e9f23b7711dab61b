"""All systems, in the order of tables."""

from tests.bench.compare.systems.ceiling import Ceiling
from tests.bench.compare.systems.constants import BareRedirect, ConstantNat
from tests.bench.compare.systems.coturn import Coturn
from tests.bench.compare.systems.crelay import C_RELAY
from tests.bench.compare.systems.gorelay import GO_RELAY
from tests.bench.compare.systems.icelane import MAX_CHECKED, Icelane
from tests.bench.compare.systems.nftables import Nftables
from tests.bench.compare.systems.nginx import Nginx
from tests.bench.compare.systems.routing import Routing
from tests.bench.compare.testbed.system import System
from tests.bench.compare.testbed.testbed import MOST_FLOWS

ALL: tuple[System, ...] = (
    Icelane("icelane xdp", "xdp", MOST_FLOWS),
    Icelane("icelane userspace", "userspace", MAX_CHECKED),
    Icelane("icelane userspace, 2 workers", "userspace", MAX_CHECKED, workers=2),
    BareRedirect(),
    ConstantNat(),
    Ceiling(),
    Routing(),
    Nftables(flowtable=False),
    Nftables(flowtable=True),
    Nginx(),
    Coturn(),
    C_RELAY,
    GO_RELAY,
)
