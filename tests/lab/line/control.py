"""Changes the line of a lab that is up."""

import json
import socket
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tests.lab.errors import LabError
from tests.lab.line.impairment import Settings

_SECONDS = 5.0  # until the line has to answer


class HasLine(Protocol):
    """A lab that was brought up with a line."""

    @property
    def line(self) -> Path:
        """The socket at which the line takes its settings."""


class Line:
    """The line of a lab.

    Args:
        lab: A lab that was brought up with a line.
    """

    def __init__(self, lab: HasLine) -> None:
        self._socket = lab.line
        self._settings = Settings()

    def delay(self, round_trip: float) -> None:
        """Have a round trip take so many seconds longer."""
        self._change(replace(self._settings, delay=round_trip / 2))

    def lose(self, share: float, *, seed: int) -> None:
        """Lose this share of the datagrams, in each direction."""
        self._change(replace(self._settings, loss=share, seed=seed))

    def rebind(self) -> None:
        """Have the NAT forget: the client has other ports from now on."""
        self._change(replace(self._settings, rebindings=self._settings.rebindings + 1))

    def _change(self, settings: Settings) -> None:
        with (
            tempfile.TemporaryDirectory() as directory,
            closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as here,
        ):
            here.bind(str(Path(directory) / "line"))
            here.settimeout(_SECONDS)
            try:
                here.sendto(json.dumps(settings.dump()).encode(), str(self._socket))
                here.recv(16)
            except OSError as error:
                raise LabError(f"The line of the lab does not answer: {error}.") from None
        self._settings = settings
