"""What answers in place of a transceiver: ``python -m tests.lab.edge.echo IP:PORT``.

Each check is answered with success, and everything else comes back as it is, but for what relays
say.
"""

import socket
import sys

from relay.wire import stun
from relay.wire.demux import Kind, classify, is_control
from relay.wire.endpoint import Endpoint

_LARGEST = 2048


def answer(data: bytes) -> bytes | None:
    """What comes back."""
    if is_control(data):
        return None
    if classify(data) is not Kind.STUN:
        return data
    transaction = stun.header(data).transaction_id
    return stun.Message(stun.MessageClass.SUCCESS, stun.BINDING, transaction).serialize()


def main() -> None:
    """Answer for ever; prints ``ready`` first."""
    address = Endpoint.parse(sys.argv[1])
    with socket.socket(address.family, socket.SOCK_DGRAM) as here:
        here.bind(address)
        print("ready", flush=True)  # noqa: T201  # what whoever starts it waits for
        while True:
            data, source = here.recvfrom(_LARGEST)
            if (back := answer(data)) is not None:
                here.sendto(back, source)


if __name__ == "__main__":
    main()
