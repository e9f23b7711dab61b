"""The live viewer: looks, keys and signals become pictures on a terminal, until it ends."""

import asyncio
import os
import signal
from pathlib import Path

from rich.console import Console

from relay.top import model, view
from relay.top.keys import read_keys
from relay.top.model import History, Look
from relay.top.source import QUICK, Source
from relay.top.state import Page, State, press, settled
from relay.top.terminal import Terminal
from relay.top.view import Screen

#: What ends a viewer, which is all that it was to do.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Viewer:
    """A live view of one relay.

    Args:
        source: What looks at it; its context is entered.
        terminal: Where it is shown; its context is entered.
        interval: Seconds between two looks.
        count: After how many looks it ends; 0: never.
        ascii_only: Whether the terminal shows nothing but ASCII.
    """

    def __init__(
        self, source: Source, terminal: Terminal, interval: float, count: int, *, ascii_only: bool
    ) -> None:
        self._source = source
        self._terminal = terminal
        self._interval = interval
        self._count = count
        self._ascii = ascii_only
        self._state = State()
        self._history = History()
        self._look = Look()
        self._stale = asyncio.Event()  # the picture is
        self._ended = asyncio.Event()
        self._going = asyncio.Event()  # it is not paused

    async def run(self) -> None:
        """Show it until somebody has seen enough."""
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGWINCH, self._stale.set)
        loop.add_signal_handler(signal.SIGTSTP, self._stop_for_a_while)
        if self._terminal.keys is not None:
            loop.add_reader(self._terminal.keys, self._typed)
        self._going.set()
        tasks = [
            asyncio.ensure_future(work)
            for work in (self._follow(), self._follow_news(), self._draw(), self._ended.wait())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if self._terminal.keys is not None:
                loop.remove_reader(self._terminal.keys)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _screen(self) -> Screen:
        width, height = self._terminal.size
        return Screen(width, height, self._ascii)

    async def _follow(self) -> None:
        """Look, and look again."""
        self._wish()
        self._look = self._source.picture()
        self._stale.set()
        looks, rest = 0, min(QUICK, self._interval)
        while not self._count or looks < self._count:
            await asyncio.sleep(rest)
            await self._going.wait()
            self._look = await self._source.look()
            self._history.add(self._look)
            self._stale.set()
            looks, rest = looks + 1, self._interval

    async def _follow_news(self) -> None:
        """Show what the agent has said of its flows, between two looks."""
        while True:
            await self._source.news.wait()
            self._source.news.clear()
            if not self._state.paused:
                self._look = self._source.picture()
                self._stale.set()

    async def _draw(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            screen = self._screen()
            height = view.list_height(self._look, self._history, self._state, screen)
            count = view.count_rows(self._look, self._state)
            self._state = settled(self._state, height, count)
            if self._wish():
                self._look = self._source.picture()
            self._terminal.draw(view.render(self._look, self._history, self._state, screen))

    def _wish(self) -> bool:
        """Tell the source what is to be seen; says whether that is something new."""
        screen = self._screen()
        height = view.list_height(self._look, self._history, self._state, screen)
        before, self._source.wanted = self._source.wanted, self._state.wanted(height)
        return before != self._source.wanted

    def _typed(self) -> None:
        text = self._terminal.read()
        if not text:  # the terminal has gone
            self._ended.set()
        for key in read_keys(text):
            screen = self._screen()
            height = view.list_height(self._look, self._history, self._state, screen)
            rows = [model.name_of(row) for row in self._look.rows[self._state.top :]]
            shown = rows if self._state.page is Page.FLOWS else []
            count = view.count_rows(self._look, self._state)
            self._state = press(self._state, key, shown, height, count)
        if self._state.ended:
            self._ended.set()
        if self._state.paused:
            self._going.clear()
        else:
            self._going.set()
        self._stale.set()

    def _stop_for_a_while(self) -> None:
        """Ctrl-Z: leave the terminal to the shell until it says to go on."""
        self._terminal.suspend()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._terminal.resume()
        self._stale.set()


async def watch(instance: str, admin: Path | None, interval: float, count: int) -> None:
    """Show a relay live on the terminal that is standard output.

    Raises:
        DataplaneError: There is neither an agent nor a loaded program of this instance.
    """
    console = Console(highlight=False)
    async with Source(instance, admin, interval) as source:
        with Terminal(console) as terminal:
            ascii_only = not console.encoding.lower().startswith("utf")
            await Viewer(source, terminal, interval, count, ascii_only=ascii_only).run()
