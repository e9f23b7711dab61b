"""What the parts of a session table share."""

from collections import Counter
from dataclasses import dataclass

from relay.core.confirmed import ConfirmedFlows
from relay.core.flowevents import FlowEvents
from relay.core.introductions import Introductions
from relay.core.pending import PendingFlows
from relay.core.upstreamports import UpstreamPorts


@dataclass(frozen=True, slots=True)
class Flows:
    """The flows of one relay, and what belongs to them.

    Attributes:
        confirmed: The confirmed flows.
        pending: The pending ones.
        ports: The upstream addresses.
        introductions: What edges say of clients.
        counters: Where what happens is counted, in datagrams, bytes or flows by reason.
        events: Tells what happens to flows.
    """

    confirmed: ConfirmedFlows
    pending: PendingFlows
    ports: UpstreamPorts
    introductions: Introductions
    counters: Counter[str]
    events: FlowEvents
