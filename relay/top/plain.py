"""Looks at a relay as text or as JSON, for pipes, files and programs."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from relay.top import model, view
from relay.top.live import ENDING
from relay.top.model import History
from relay.top.source import QUICK, Source
from relay.top.state import State
from relay.top.view import Screen

_WIDTH = 200  # columns: a line in a file or a pipe need not fit a screen
_ROWS = 40


async def write_looks(
    instance: str,
    admin: Path | None,
    interval: float,
    count: int,
    *,
    as_json: bool,
    ascii_only: bool,
    write: Callable[[str], None],
) -> None:
    """Write one look after the other, until this process is to end.

    Args:
        instance: The relay's instance.
        admin: Its agent's admin socket; None: the usual one.
        interval: Seconds between two looks.
        count: After how many it ends; 0: never.
        as_json: Whether each is a line of JSON.
        ascii_only: Whether nothing but ASCII can be written.
        write: Takes a look's text, and passes it on at once.

    Raises:
        DataplaneError: There is neither an agent nor a loaded program of this instance.
    """
    ended = asyncio.Event()
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    screen, state, history = Screen(_WIDTH, None, ascii_only), State(), History()
    looks, rest = 0, min(QUICK, interval)
    async with Source(instance, admin, interval) as source:
        source.wanted = state.wanted(_ROWS)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await ended.wait()
            if ended.is_set():
                return
            look = await source.look()
            history.add(look)
            if as_json:
                write(f"{json.dumps(model.as_json(look))}\n")
            else:
                lines = view.render(look, history, state, screen)
                write("".join(f"{line.plain.rstrip()}\n" for line in lines) + "\n")
            looks, rest = looks + 1, interval
            if looks == count:
                return
