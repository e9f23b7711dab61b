"""Sessions of the agent and their connections, which sessions may outlive.

A connection may break long before this side notices. So whoever knows the name of a session gets it
also while its old connection seems to be there, which is ended then.
"""

import asyncio
from collections.abc import Awaitable, Callable

from transceiver.agent.kept import KeptSessions, hashed
from transceiver.agent.session import AgentSession
from transceiver.realtime.commands import Close
from transceiver.resume import GOES_ON_ELSEWHERE

_ELSEWHERE = Close(GOES_ON_ELSEWHERE, "the session goes on in another connection")

Run = Callable[[AgentSession], Awaitable[Close | None]]


class Berth:
    """A session while it has a connection.

    Args:
        session: The session.
        name: Who knows it may take the session over; None where nobody may.
    """

    def __init__(self, session: AgentSession, name: str | None) -> None:
        self.session = session
        self.name = name
        self.is_taken = False
        self.left = asyncio.Event()
        self._leave = asyncio.Event()

    def leave(self) -> None:
        """Somebody takes the session over."""
        self.is_taken = True
        self._leave.set()

    async def hold(self, run: Run) -> Close | None:
        """Run the session until its connection ends, or somebody takes it over.

        Returns:
            How the connection is to be closed; None if the client has closed it.
        """
        running = asyncio.ensure_future(run(self.session))
        leaving = asyncio.create_task(self._leave.wait())
        try:
            await asyncio.wait((running, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if self.is_taken or not running.done():
                running.cancel()
            await asyncio.gather(running, leaving, return_exceptions=True)
            self.left.set()
        return _ELSEWHERE if self.is_taken else running.result()


class Berths:
    """Those of a service.

    Args:
        kept: Sessions without a connection.
    """

    def __init__(self, kept: KeptSessions[AgentSession]) -> None:
        self._kept = kept
        self._held: dict[bytes, Berth] = {}
        self._timer: asyncio.TimerHandle | None = None

    def knows(self, *names: str | None) -> bool:
        """Whether there is a session of one of these names."""
        given = [name for name in names if name is not None]
        return any(
            hashed(name) in self._held or self._kept.knows(name, self._now()) for name in given
        )

    async def resume(self, *names: str | None) -> AgentSession | None:
        """The session of the first name that has one, which is good for this once; else None."""
        for name in names:
            if name is not None and (found := await self._resume(name)) is not None:
                return found
        return None

    async def _resume(self, name: str) -> AgentSession | None:
        berth = self._held.pop(hashed(name), None)
        if berth is not None and not berth.is_taken:
            berth.leave()
            await berth.left.wait()
            return berth.session
        return self._kept.take(name, self._now())

    def hold(self, session: AgentSession, name: str | None) -> Berth:
        """A session has a connection."""
        berth = Berth(session, name)
        if name is not None:
            self._held[hashed(name)] = berth
        return berth

    def release(self, berth: Berth, *, is_over: bool) -> None:
        """Its connection has ended; the session is kept, or ends if `is_over` or nameless."""
        if berth.name is not None and self._held.get(hashed(berth.name)) is berth:
            del self._held[hashed(berth.name)]
        if berth.is_taken:
            return
        if is_over or berth.name is None:
            berth.session.close()
            return
        _end(self._kept.add(berth.name, berth.session, berth.session.size, self._now()))
        self._look_again()

    def close(self) -> None:
        """The service stops: nothing is kept any more."""
        if self._timer is not None:
            self._timer.cancel()
        _end(self._kept.clear())

    def _look_again(self) -> None:
        if self._timer is None and len(self._kept):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._kept.seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        _end(self._kept.expire(self._now()))
        self._look_again()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _end(sessions: list[AgentSession]) -> None:
    for each in sessions:
        each.close()
