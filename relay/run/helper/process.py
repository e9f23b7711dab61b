"""The helper's process: made by root before the relay is somebody else, and gone when it is."""

import os
import signal
import socket
from pathlib import Path

from relay.dataplane.kernel.privileged import AsRoot
from relay.run.config import RelayConfig
from relay.run.helper.client import Helper
from relay.run.helper.server import Server

_COMM = Path("/proc/self/comm")
_NAME = "icelane-helper"  # as ps(1) and top(1) tell it from the agent, of which it is a copy


def start(config: RelayConfig) -> Helper:
    """Start the helper of a relay; to be called before there are threads.

    It has what this process has, and nothing of what comes after. It reads nothing but this
    process's requests, and ends when that has ended, however it ends.

    Raises:
        OSError: There is no process to be had.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _be_helper(theirs, config)
        finally:
            os._exit(0)
    theirs.close()
    return Helper(ours, config.instance, pid)


def _be_helper(connection: socket.socket, config: RelayConfig) -> None:
    # Who stops the relay, by the terminal or a service's group, wants it to end in order.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _COMM.write_text(_NAME, encoding="ascii")
    Server(config, AsRoot(config.instance)).serve(connection)
