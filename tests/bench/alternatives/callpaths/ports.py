"""Calls to a transceiver that has a public UDP port for each session."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.alternatives.callpaths import portservice
from tests.bench.compare.calls.calltestbed import CallPath, CallTestbed
from tests.lab.config import MEDIA, SIGNALING_ENDPOINT
from tests.lab.service import Service
from tests.lab.topology import TRANSCEIVER

_SERVICE = "ports"
_LISTEN = SIGNALING_ENDPOINT._replace(port=8081)


@dataclass(frozen=True, slots=True)
class PortPath(CallPath):
    """The path to such a transceiver, over a cable."""

    def testbed(self) -> CallTestbed:
        """A testbed in which calls take it, not yet entered."""
        return PortTestbed(self)


class PortTestbed(CallTestbed):
    """A testbed whose clients call such a transceiver."""

    def _open(self, stack: ExitStack) -> None:
        """Bring it up.

        Raises:
            LabError: A part of it does not start.
        """
        super()._open(stack)
        self.start_middle()
        self.url = f"http://{_LISTEN}"

    @property
    def middle(self) -> str:
        """The service that clients send their media to."""
        return _SERVICE

    def start_middle(self) -> None:
        """Start the transceiver.

        Raises:
            LabError: It does not start.
        """
        command = (sys.executable, "-m", portservice.__name__, str(_LISTEN), MEDIA.host)
        service = Service(_SERVICE, TRANSCEIVER, command, ready="^ready")
        self._runner.start(service, self.lab.hosts[TRANSCEIVER]).wait()
