"""A lab whose transceiver has a back end, and a service of ours in it that is one."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from tests.lab.config import BACKEND, Options
from tests.lab.lab import Lab
from tests.lab.realtimeservice import RealtimeService, serving
from tests.lab.topology import TRANSCEIVER


@contextmanager
def lab_with(backend: str, dataplane: str) -> Iterator[Lab]:
    """A lab, while the context is entered."""
    lab = Lab(f"turn-{os.getpid()}")
    try:
        lab.up(Options(dataplane=dataplane, backend=backend))
        yield lab
    finally:
        lab.down()


@asynccontextmanager
async def service_in(lab: Lab) -> AsyncIterator[RealtimeService]:
    """The service at `tests.lab.config.BACKEND_URL`, beside the lab's transceiver."""
    async with AsyncExitStack() as stack:
        with lab.hosts[TRANSCEIVER].inside():
            service = await stack.enter_async_context(serving(BACKEND))
        yield service
