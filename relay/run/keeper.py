"""Keeps an agent's dataplane in step with what is loaded into the kernel, whoever changes that."""

import asyncio
import contextlib
import logging
import resource
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relay.config.registry import Finder
from relay.core.flow import Flow, State
from relay.core.flowtuple import Source
from relay.core.session import SessionTable
from relay.dataplane.interface import Dataplane, DataplaneChoice
from relay.dataplane.userspace import UserspaceDataplane
from relay.errors import DataplaneError
from relay.run.config import RelayConfig
from relay.run.dataplane import leave_to_agent, open_xdp, own_privileges
from relay.wire.keys import KeyRing

if TYPE_CHECKING:
    from relay.dataplane.kernel.privileged import Privileged

LOOK_EVERY = 5.0  # seconds
LOOK_AFTER = 1.0  # seconds between two looks, whatever there is to see
_AT_ONCE = 64  # flows, before datagrams get their turn
_OTHER_FILES = 128  # beside flows' sockets: 64 that the agent has, and those it leaves to others

_log = logging.getLogger(__name__)


class DataplaneKeeper:
    """Holds the dataplane of an agent, and changes it: when it is told to, or when others have.

    Args:
        config: The agent's settings.
        keys: The cluster's keys.
        registry: The transceivers.
        flows: The agent's session table.
        dataplane: The dataplane at first; the keeper closes the one that it has in the end.
        kernel: Does what needs privileges; None: this process.

    Attributes:
        dataplane: The dataplane now.
    """

    def __init__(
        self,
        config: RelayConfig,
        keys: KeyRing,
        registry: Finder,
        flows: SessionTable,
        dataplane: Dataplane,
        *,
        kernel: "Privileged | None" = None,
    ) -> None:
        self.dataplane = dataplane
        self._config = config
        self._keys = keys
        self._registry = registry
        self._flows = flows
        self._keys_in_force = keys.copy()
        self._rekeying = False
        self._changing = asyncio.Lock()
        self._look = asyncio.Event()
        self._given = kernel
        self._known = self._kernel.table() if self._in_kernel else None
        self._unsteer: Callable[[Iterable[Flow]], Awaitable[int]]
        self._expected: Callable[[], Iterable[Source]]

    def start(
        self,
        unsteer: Callable[[Iterable[Flow]], Awaitable[int]],
        expected: Callable[[], Iterable[Source]] = tuple,
    ) -> None:
        """Watch the network, if the kernel forwards.

        Args:
            unsteer: Gives flows sockets of their own, and the number of those that got none.
            expected: The clients that a dataplane is to expect.

        Raises:
            DataplaneError: The kernel does not tell of changes.
        """
        self._unsteer = unsteer
        self._expected = expected
        if self.dataplane.forwards:
            self._watch()

    def close(self) -> None:
        """Let go of the dataplane; what is pinned goes on forwarding."""
        self.dataplane.close()

    @property
    def keys_in_force(self) -> dict[str, Any]:
        """The key slots that routes are verified by, in the kernel, too, and the one that signs."""
        keys = self._keys_in_force
        return {"slots": sorted(keys.slots), "signing": keys.signing_slot}

    def rekey(self) -> None:
        """The keys are others: the kernel is told soon, again and again until it has them."""
        if self._in_kernel:
            self._rekeying = True
            self._look.set()
        else:
            self._keys_in_force.take(self._keys)

    async def switch(self, choice: DataplaneChoice) -> None:
        """Let the kernel forward, or the agent, from now on, without losing a packet.

        Raises:
            DataplaneError: The XDP dataplane cannot be had; all is as it was.
        """
        async with self._changing:
            await self._say_followed()
            if choice is DataplaneChoice.USERSPACE:
                # Each flow stays installed, so that the way back is as short.
                await asyncio.to_thread(self.dataplane.deactivate)
            else:
                if not self._in_kernel:
                    await self._load()
                await self._activate()
        _log.info("the %s dataplane forwards from now on", choice)

    async def unload(self) -> bool:
        """Take all flows over from the kernel, and unload the program, without losing a packet.

        Returns:
            Whether it was loaded.

        Raises:
            DataplaneError: It cannot be done without loss; all is as it was.
        """
        async with self._changing:
            await self._say_followed()
            if self._in_kernel:
                self._require_files()
                await asyncio.to_thread(self.dataplane.deactivate)
                await self._leave()
            unloaded = await asyncio.to_thread(self._kernel.unload)
            self._known = None
        _log.info("the XDP program was unloaded, and the agent forwards from now on")
        return unloaded

    async def tend(self) -> list[str]:
        """Wait until there may be something to do, and do it.

        Returns:
            What the administrator should know.

        Raises:
            DataplaneError: That was not possible; the text says why.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._look.wait()
        self._look.clear()
        async with self._changing:
            said = await self._follow()
            if self._rekeying:
                said += await self._rekey()
            return said + await asyncio.to_thread(self.dataplane.reconcile)

    async def _rekey(self) -> list[str]:
        keys = self._keys.copy()
        wanted = self._config.settings(keys, self._registry)
        try:
            await asyncio.to_thread(self.dataplane.rekey, wanted.route_keys, wanted.remote)
        except DataplaneError as error:  # what else there is to mend does not wait for it
            return [f"the kernel still verifies routes by the keys of before: {error}"]
        self._keys_in_force.take(keys)
        self._rekeying = keys.slots != self._keys.slots  # they may have changed meanwhile
        return []

    @cached_property
    def _kernel(self) -> "Privileged":
        # Not before it is wanted: a worker in userspace has no use for what this brings.
        return self._given or own_privileges(self._config)

    @property
    def _in_kernel(self) -> bool:
        return not isinstance(self.dataplane, UserspaceDataplane)

    def _watch(self) -> None:
        self.dataplane.watch(asyncio.get_running_loop(), self._look.set)
        self._look.set()

    async def _activate(self) -> None:
        self._watch()
        # In a thread: the kernel takes milliseconds, and what waits here meanwhile would be
        # overtaken by what comes after.
        await asyncio.to_thread(self.dataplane.activate)
        self._flows.unwatched()

    async def _load(self) -> None:
        # In a thread, because it takes seconds; until `activate` everything comes here.
        dataplane = await asyncio.to_thread(
            open_xdp, self._config, self._keys, self._registry, self._kernel, pass_all=True
        )
        try:
            for flow in self._flows:
                if flow.state is State.CONFIRMED and not flow.is_connection:
                    dataplane.install(flow.addresses)
            for source in self._expected():
                dataplane.expect(source)
        except DataplaneError:
            dataplane.close()
            raise
        self.dataplane = dataplane
        self._known = await asyncio.to_thread(self._kernel.table)

    async def _say_followed(self) -> None:
        for said in await self._follow():
            _log.warning("%s", said)

    async def _follow(self) -> list[str]:
        """Do what somebody else's unloading or loading asks for."""
        there = await asyncio.to_thread(self._kernel.table)
        if there == self._known:
            return []
        self._known = there
        instance, said = self._config.instance, []
        forwarded = self._config.dataplane is not DataplaneChoice.USERSPACE
        if self._in_kernel:
            forwarded = self.dataplane.forwards
            failed = await self._leave()
            said.append(
                f"somebody has unloaded the XDP program of instance {instance} under this relay: "
                "packets were lost until now, and the agent forwards from now on"
                + (f", but for {failed} flows, for which it has no sockets" if failed else "")
            )
        if there is None:
            self.dataplane.trouble = " ".join(said) or None
            return said
        return [*said, await self._take(forward=forwarded)]

    async def _take(self, *, forward: bool) -> str:
        """Work on a program that somebody has loaded; says what came of it."""
        instance = self._config.instance
        try:
            await self._load()
            if forward:
                await self._activate()
        except DataplaneError as error:
            await asyncio.to_thread(leave_to_agent, self._config, self._kernel)
            self.dataplane.trouble = (
                f"the XDP program of instance {instance} was loaded under this relay, which cannot "
                f"use it: {error} It passes everything up, and the agent forwards"
            )
            return self.dataplane.trouble
        flows = sum(1 for _ in self.dataplane.tuples())
        who = "the kernel forwards" if forward else "the agent forwards"
        return (
            f"the XDP program of instance {instance} was loaded under this relay: its {flows} "
            f"flows are installed, and {who}"
        )

    async def _leave(self) -> int:
        """Have the agent forward without a program; how many flows it has no sockets for."""
        for number, _ in enumerate(self._flows.waking()):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        failed = await self._unsteer(self._flows)
        self._flows.leave_dataplane()  # not before: steered sockets ask it whose a port is
        left = self.dataplane
        for number, flow in enumerate(list(self._flows)):
            if flow.state is State.CONFIRMED and not flow.is_connection:
                record = left.record(flow.addresses)
                for way, client in ((record.to_transceiver, True), (record.to_client, False)):
                    _carry_over(flow, way.packets, way.bytes, way.last_seen, from_client=client)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self.dataplane = UserspaceDataplane()  # not before: it knows no more when clients were here
        left.close()
        return failed

    def _require_files(self) -> None:
        flows, (limit, _) = sum(1 for _ in self._flows), resource.getrlimit(resource.RLIMIT_NOFILE)
        if flows + _OTHER_FILES > limit:
            raise DataplaneError(
                f"Without the program each of the relay's {flows:,} flows needs an open file, and "
                f"{limit:,} is the most (ulimit -n, LimitNOFILE). Unload it when fewer calls are "
                "under way."
            )


def _carry_over(flow: Flow, packets: int, size: int, seen: float, *, from_client: bool) -> None:
    """Count for the agent what the kernel has counted of a flow in one direction."""
    if from_client:
        flow.packets_to_transceiver += packets
        flow.bytes_to_transceiver += size
        flow.last_from_client = max(flow.last_from_client, seen)
    else:
        flow.packets_to_client += packets
        flow.bytes_to_client += size
        flow.last_from_transceiver = max(flow.last_from_transceiver, seen)
