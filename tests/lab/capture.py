"""Capture of the datagrams that pass an interface of a lab's host."""

from relay.netns.host import Host
from tests.lab.frame import Datagram, parse
from tests.lab.tap import Tap


class Capture(Tap):
    """Records every UDP datagram that enters or leaves through an interface, while entered.

    Args:
        host: The host to capture in.
        interface: Its interface.

    Attributes:
        datagrams: What was recorded so far, oldest first.
    """

    def __init__(self, host: Host, interface: str) -> None:
        self.datagrams: list[Datagram] = []
        super().__init__(host, interface, self._record)

    def _record(self, frame: bytes, _time: float, _outgoing: bool) -> None:
        datagram = parse(frame)
        if datagram is not None:
            self.datagrams.append(datagram)
