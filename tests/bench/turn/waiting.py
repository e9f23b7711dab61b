"""Waiting for what happens elsewhere, with a limit."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tests.bench.errors import BenchError

_LIMIT = 15.0  # seconds
_POLL = 0.002

Found = TypeVar("Found")


async def until(look: Callable[[], Found | None], told: str) -> Found:
    """Wait until there is something; returns it.

    Raises:
        BenchError: There is nothing in time; `told` names it.
    """
    deadline = asyncio.get_running_loop().time() + _LIMIT
    while (found := look()) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise BenchError(f"no {told} within {_LIMIT:.0f} s")
        await asyncio.sleep(_POLL)
    return found
