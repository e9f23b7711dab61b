"""Keys are rotated under load at two relays, of which one is late: no set-up fails."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from relay.config.directory import Directory
from relay.config.keyfile import KeyFile, change_keys, load_keys
from relay.config.privatefiles import write_private
from relay.dataplane.userspace import UserspaceDataplane
from relay.run.agent import Agent
from relay.wire import stun
from relay.wire.announcement import is_announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role
from relay.wire.route import mint
from tests.ports import free_port
from tests.relay.conftest import FIRST, eventually
from tests.relay.run.stage import Peer, Stage, stage_on

AT_ONCE = 2  # set-ups
PAUSE = 0.02  # seconds between two of them, so that upstream ports last


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    yield from stage_on("127.0.0.1", tmp_path)


@dataclass
class Site:
    """Two relays, a transceiver that answers every check, and files of keys."""

    stage: Stage
    master: Path
    files: list[Path]
    relays: list[Agent] = field(default_factory=list)
    done: int = 0
    failed: int = 0
    _transactions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def vip(self, number: int) -> Endpoint:
        return self.relays[number]._config.vips[0]

    def give(self, number: int) -> None:
        """Copy the file of master keys to a relay, as its operator does."""
        write_private(self.files[number], self.master.read_bytes())

    async def has(self, number: int, slots: set[int]) -> None:
        relay = self.relays[number]
        await eventually(
            lambda: set(relay.state.keys()["slots"]) == slots, f"relay {number} has {slots}"
        )

    def request(self, signing: KeyRing) -> bytes:
        number = next(self._transactions)
        route = mint(
            FIRST,
            signing,
            now=self.stage.scene.now.unix,
            lifetime=3600.0,
            nonce=number.to_bytes(4, "big"),
        )
        username = f"{route.ufrag}:peer".encode()
        return stun.Message(
            stun.MessageClass.REQUEST,
            stun.BINDING,
            number.to_bytes(12, "big"),
            ((stun.Attribute.USERNAME, username),),
        ).serialize(b"password")

    async def set_up(self, client: Peer, number: int, *, limit: float = 5.0) -> bool:
        """Whether a check with a ufrag that the transceiver signs now is answered."""
        client.send(self.request(load_keys(self.master)), self.vip(number))
        try:
            async with asyncio.timeout(limit):
                await client.receive()
        except TimeoutError:
            self.failed += 1
            return False
        self.done += 1
        return True

    async def place_calls(self) -> None:
        """Set up one call after the other, by turns at both relays."""
        for number in itertools.count():
            client = Peer("127.0.0.1")
            try:
                await self.set_up(client, number % 2)
            finally:
                client.close()
            await asyncio.sleep(PAUSE)

    async def more(self, count: int = 20) -> None:
        until = self.done + count
        await eventually(lambda: self.done >= until or self.failed > 0, "calls are set up")


@asynccontextmanager
async def site(stage: Stage, tmp_path: Path) -> AsyncIterator[Site]:
    master, files = tmp_path / "master", [tmp_path / f"keys{number}" for number in range(2)]
    write_private(master, stage.scene.keys.dumps().encode())
    here = Site(stage, master, files)
    async with AsyncExitStack() as stack:
        for number, path in enumerate(files):
            here.give(number)
            config = replace(
                stage.config,
                vips=(Endpoint("127.0.0.1", free_port()),),
                ports=range(20_000 + 5000 * number, 25_000 + 5000 * number),
                admin=tmp_path / f"admin{number}.sock",
                keys=path,
            )
            directory = Directory(stage.scene.registry)
            keys = KeyFile(path, Role.RELAY, directory.clusters)
            relay = Agent(config, keys, directory, UserspaceDataplane())
            here.relays.append(await stack.enter_async_context(relay))
        answering = asyncio.create_task(_answer(stage))
        stack.callback(answering.cancel)
        yield here


async def _answer(stage: Stage) -> None:
    loop, udp = asyncio.get_running_loop(), stage.transceiver._udp
    while True:
        data, source = await loop.sock_recvfrom(udp, 2048)
        if is_announcement(data):
            continue
        udp.sendto(stage.scene.answer(data) if data[0] < 4 else data, source)


async def test_no_set_up_fails_while_keys_rotate_and_one_relay_is_late(
    stage: Stage, tmp_path: Path
) -> None:
    async with site(stage, tmp_path) as here:
        before = Peer("127.0.0.1")  # a call that lasts
        assert await here.set_up(before, 1)
        ports = [flow.addresses.upstream for flow in here.relays[1]._table]
        load = [asyncio.create_task(here.place_calls()) for _ in range(AT_ONCE)]
        change_keys(here.master, lambda ring: ring.added(bytes)[0])
        here.give(0)
        await here.has(0, {0, 1})
        await here.more()  # one relay is late, and so nobody signs with the new key yet
        assert here.relays[1].state.keys() == {"slots": [0], "signing": 0, "edge": {}}
        here.give(1)
        await here.has(1, {0, 1})
        change_keys(here.master, lambda ring: ring.rotated(None, 0.0))
        await here.more()  # signed with the new key; no relay has this step's file
        for number in range(2):
            here.give(number)
        change_keys(here.master, lambda ring: ring.retired(0))
        here.give(0)
        await here.has(0, {1})
        await here.more()  # again one is late
        here.give(1)
        await here.has(1, {1})
        await here.more()
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
        assert (here.failed, here.done >= 81) == (0, True)
        # The call of before goes on, though its route's key has left, at the same port.
        before.send(b"\x80" + bytes(20), here.vip(1))
        assert (await before.receive())[0] == b"\x80" + bytes(20)
        assert ports[0] in [flow.addresses.upstream for flow in here.relays[1]._table]
        before.close()


async def test_in_the_wrong_order_set_ups_fail_at_the_late_relay(
    stage: Stage, tmp_path: Path
) -> None:
    """Or the test above would show nothing."""
    async with site(stage, tmp_path) as here:
        change_keys(here.master, lambda ring: ring.added(bytes)[0].rotated(None, 0.0))
        here.give(0)
        await here.has(0, {0, 1})
        client = Peer("127.0.0.1")
        assert await here.set_up(client, 0)
        assert not await here.set_up(client, 1, limit=0.3)
        assert here.relays[1].state.counters()["bad_route"] == 1
        client.close()
