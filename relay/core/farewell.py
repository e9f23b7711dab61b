"""Whether a goodbye ends a flow; pure, as the table is."""

from relay.core.flow import Flow
from relay.wire import goodbye
from relay.wire.errors import GoodbyeError
from relay.wire.goodbye import Goodbye
from relay.wire.keys import AnnouncementKeys


def hear(data: bytes, flow: Flow, keys: AnnouncementKeys) -> Goodbye | str:
    """The goodbye that a control datagram from a flow's transceiver is.

    It is this transceiver's to this very flow; if not, a text says what it is, as it is counted.
    """
    if not goodbye.is_goodbye(data):
        return "control"
    try:
        said = Goodbye.parse(data, keys)
    except GoodbyeError:
        return "goodbye_forged"
    parts = flow.addresses
    ends = said.route, said.upstream.packed
    ours = parts.route, parts.packed_upstream
    return said if ends == ours and _is_client(said, flow) else "goodbye_of_another"


def _is_client(said: Goodbye, flow: Flow) -> bool:
    """Whether it is about a flow's client, as its transceiver was told of it."""
    if flow.introduced is not None:
        return said.client == flow.introduced.client
    # Of a flow that an agent before this one had, nobody knows whether an edge had introduced it;
    # its route and upstream address together were nobody else's.
    return said.client.packed == flow.addresses.packed_client or not flow.epoch
