"""An agent that runs, as the one sees it that is to take its place."""

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from relay import linux
from relay.admin.place import is_somebody
from relay.core.handoff import LAYOUT
from relay.errors import AdminError, TakeoverError
from relay.run.takeover.channel import Channel
from relay.run.takeover.handed import HandedSockets, opened_sockets
from relay.run.takeover.offer import COMMAND, ELSEWHERE, HOLD_SECONDS

STOP_SECONDS = 30.0  # for an agent to end that cannot hand over
_POLL = 0.02  # seconds

_log = logging.getLogger(__name__)


class Predecessor:
    """An agent that hands over.

    Args:
        path: Its admin socket.
        channel: The connection to it, on which it has agreed.
        sockets: The sockets that it has given already, and goes on reading.
        about: What it tells in advance.

    Attributes:
        sockets: The same.
        about: The same.
    """

    def __init__(
        self, path: Path, channel: Channel, sockets: HandedSockets, about: Mapping[str, Any]
    ) -> None:
        self.sockets = sockets
        self.about = about
        self._path = path
        self._channel = channel
        self._began = 0.0

    @property
    def steers(self) -> bool:
        """Whether it has one socket for what comes to all upstream ports."""
        return bool(self.about.get("steers"))

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, and does not only refuse."""
        return not is_somebody(self._path)

    @classmethod
    def ask(cls, path: Path, workers: int) -> Self:
        """Ask the agent behind an admin socket to hand over.

        Raises:
            AdminError: It is somebody else's or elsewhere, or nobody answers.
            TakeoverError: It does not want to, or cannot.
        """
        with ExitStack() as closing:
            channel = _connect(path, {"layout": LAYOUT, "workers": workers})
            closing.callback(channel.close)
            answer, files = channel.receive()
            if answer.get("error") == ELSEWHERE:
                raise AdminError(
                    f"the relay at {path} is in another network namespace, and is left alone: run "
                    "this one there (`nsenter`), or choose another --instance"
                )
            if "error" in answer:
                raise TakeoverError(_reason(str(answer["error"])))
            try:
                sockets = HandedSockets.of(answer, files)
            except (ValueError, TypeError, KeyError, OSError) as error:
                raise TakeoverError(f"what it says is no answer: {error}") from None
            closing.pop_all()
            return cls(path, channel, sockets, answer)

    def hold(self) -> None:
        """Have it do nothing any more, until `relieve`.

        Raises:
            TakeoverError: It has ended, or does not do so in time.
        """
        self._began = time.monotonic()
        self._channel.send({"hold": True})
        self._channel.receive()

    def give(self) -> Iterator[tuple[dict[str, Any], list[socket.socket]]]:
        """All that it has: messages, each with its sockets.

        Raises:
            TakeoverError: It has ended, or does not say all in time.
        """
        while True:
            message, files = self._channel.receive()
            if "end" in message:
                return
            yield message, opened_sockets(files)

    def relieve(self) -> float:
        """Serve in its place from now on; for how long nobody has, in seconds.

        Raises:
            TakeoverError: It has waited for too long, and goes on.
        """
        self._channel.send({"serving": True})
        return time.monotonic() - self._began

    def close(self) -> None:
        """Be done with it; if it has not been relieved, it goes on."""
        self._channel.close()


def find(path: Path, workers: int) -> Predecessor | None:
    """The agent behind an admin socket, if there is one, and it hands over.

    One that cannot, such as one of another version, is stopped: calls lose packets then until
    their flows are restored.

    Args:
        path: The admin socket.
        workers: How many workers there are to be.

    Raises:
        AdminError: There is one that neither hands over nor ends, or is to be left alone.
    """
    if not is_somebody(path):
        return None
    try:
        return Predecessor.ask(path, workers)
    except TakeoverError as error:
        _log.warning(
            "the relay that runs as this instance cannot hand over: %s. It is stopped now: calls "
            "lose packets until their flows are restored",
            error,
        )
    _stop(path)
    return None


def _connect(path: Path, fields: dict[str, Any]) -> Channel:
    connection = socket.socket(socket.AF_UNIX)
    channel = Channel(connection, HOLD_SECONDS)
    request = {"command": COMMAND, "netns": linux.netns_inode(), **fields}
    try:
        connection.settimeout(HOLD_SECONDS)
        connection.connect(str(path))
        _require_same_user(channel, path)
        connection.sendall(json.dumps(request).encode() + b"\n")
    except OSError as error:
        channel.close()
        raise AdminError(f"no agent answers at {path}: {error.strerror or error}") from None
    except BaseException:
        channel.close()
        raise
    return channel


def _require_same_user(channel: Channel, path: Path) -> None:
    _, user = channel.peer()
    if user != os.geteuid():
        raise AdminError(
            f"the agent at {path} runs as user {user}, and this one as user {os.geteuid()}: run it "
            "as that user, or choose another --instance"
        )


def _reason(error: str) -> str:
    # What an agent says that knows nothing of this.
    return "it is of an older version" if error.startswith("unknown command") else error


def _stop(path: Path) -> None:
    """End the agent behind an admin socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(HOLD_SECONDS)
        try:
            connection.connect(str(path))
            channel = Channel(connection, HOLD_SECONDS)
            _require_same_user(channel, path)
            pid, _ = channel.peer()
            os.kill(pid, signal.SIGTERM)
        except OSError:
            pass  # it has ended
    deadline = time.monotonic() + STOP_SECONDS
    while is_somebody(path):
        if time.monotonic() > deadline:
            raise AdminError(f"the agent at {path} does not end within {STOP_SECONDS:.0f} s")
        time.sleep(_POLL)
