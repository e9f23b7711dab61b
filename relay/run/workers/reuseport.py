"""Sockets of several workers on one VIP, among which the kernel distributes clients."""

import socket

from relay.errors import BindError
from relay.forwarding.udp import attach_filter, bind_udp, receive_from_now_on
from relay.run.workers.shard import reuseport_program
from relay.wire.endpoint import Endpoint

SO_ATTACH_REUSEPORT_CBPF = 51  # asm-generic/socket.h; the socket module lacks it


def open_reuseport_group(vip: Endpoint, count: int, seed: int) -> list[socket.socket]:
    """A socket on a VIP for each worker, in the order of their numbers.

    Until all are there the kernel would give clients of those that are missing to others, which
    would have flows of them from then on: so what comes in this moment is dropped.

    They must all stay open as long as one is used: the kernel counts the sockets of the group
    that are left.

    Raises:
        BindError: The address is not on this host, or the port is taken.
    """
    # SO_REUSEPORT would let this relay into the group of another one, and take its clients.
    bind_udp(vip).close()
    group: list[socket.socket] = []
    try:
        group.extend(bind_udp(vip, share_port=True) for _ in range(count))
        attach_filter(
            group[0], SO_ATTACH_REUSEPORT_CBPF, reuseport_program(vip.family, count, seed)
        )
        for udp in group:
            receive_from_now_on(udp)
    except (BindError, OSError) as error:
        for udp in group:
            udp.close()
        if isinstance(error, OSError):
            raise BindError(f"{vip} cannot be shared among workers: {error.strerror}") from error
        raise
    return group
