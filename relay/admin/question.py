"""Asking an agent at its admin socket, without an event loop: a short command starts sooner."""

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from relay.errors import AdminError

TIMEOUT = 5.0  # seconds for an agent to answer


def ask(path: Path, command: str, timeout: float = TIMEOUT, **fields: object) -> dict[str, Any]:
    """Ask the agent behind a socket.

    Args:
        path: The socket.
        command: What is asked.
        timeout: How long to wait for the answer, in seconds.
        fields: What belongs to the command.

    Raises:
        AdminError: No agent answers there, or it says that it cannot do this.
    """
    return joined(answers(path, command, timeout, **fields))


def answers(
    path: Path, command: str, timeout: float | None = TIMEOUT, **fields: object
) -> Iterator[dict[str, Any]]:
    """The same, piece by piece as they come; each but the last has a true ``more``.

    Args:
        path: The socket.
        command: What is asked.
        timeout: How long to wait for each piece, in seconds; None: for ever.
        fields: What belongs to the command.

    Raises:
        AdminError: No agent answers there, or it says that it cannot do this.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": command} | fields).encode() + b"\n")
            with connection.makefile("rb") as lines:
                yield from _pieces(lines)
    except (OSError, ValueError) as error:
        raise silent(path, error) from None


def _pieces(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        piece = json.loads(line)
        if not isinstance(piece, dict):
            raise ValueError("this is no answer")  # noqa: TRY004  # of whoever listens there
        if "error" in piece:
            raise AdminError(str(piece["error"]))
        yield piece
        if not piece.get("more"):
            return
    raise ValueError("the answer has no end")


def joined(pieces: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """An answer from its pieces: lists of one name belong together, and else the last counts."""
    answer: dict[str, Any] = {}
    for piece in pieces:
        for name, value in piece.items():
            if name == "more":
                continue
            if isinstance(value, list):
                answer.setdefault(name, []).extend(value)
            else:
                answer[name] = value
    return answer


def silent(path: Path, error: OSError | ValueError) -> AdminError:
    """The sentence about an agent that does not answer, or says something else."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, PermissionError):
        reason += "; run this as its user"
    return AdminError(f"no agent answers at {path}: {reason or 'it took too long'}")
