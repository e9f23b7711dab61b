"""Serves the page, and calls through a userspace relay over the loopback, until it is killed.

`icelane up` in small, with what tests choose: the back end, the capacity, and where clients are
told to send media. It is a program of its own so that a test can kill it.
"""

import argparse
import asyncio
import logging
import os
import secrets
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from random import SystemRandom

from relay.config.directory import Directory
from relay.config.registry import Registry, Relay
from relay.config.registry import Transceiver as Entry
from relay.dataplane.interface import DataplaneChoice
from relay.run.agent import Agent
from relay.run.config import RelayConfig
from relay.run.dataplane import open_dataplane
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from signaling.server import SignalingServer
from tests.e2e.page.teller import TellerBackend
from transceiver.bridge.table import Service, Table
from transceiver.server import Transceiver, TransceiverConfig

LOOPBACK = "127.0.0.1"
TARGET = Target(cluster=1, slot=1, generation=1)
BACKENDS = Table((Service("echo", None), Service("teller", None, local=TellerBackend)))


async def serve(arguments: argparse.Namespace) -> None:
    keys = KeyRing.generate(secrets.token_bytes)
    config = TransceiverConfig(
        listen=Endpoint(LOOPBACK, 0),
        control=Endpoint(LOOPBACK, arguments.control),
        target=TARGET,
        keys=keys,
        capacity=arguments.capacity,
        table=BACKENDS.beginning_with(arguments.backend),
    )
    vip = Endpoint(arguments.address, arguments.vip)
    relay = RelayConfig(
        vips=(vip,),
        upstreams=(LOOPBACK,),
        keys=Path(os.devnull),
        registry=Path(os.devnull),
        dataplane=DataplaneChoice.USERSPACE,
        instance=f"page{os.getpid()}",
    )
    async with AsyncExitStack() as stack:
        transceiver = await stack.enter_async_context(Transceiver(config))
        entry = Entry(TARGET, transceiver.address, f"http://{transceiver.control}")
        told = Endpoint(LOOPBACK, arguments.told) if arguments.told else vip
        registry = Directory(Registry((entry,), (Relay(told),)))
        forwarding = open_dataplane(relay, keys, registry)
        agent = Agent(relay, keys, registry, forwarding)
        await stack.enter_async_context(agent)
        listen = Endpoint(LOOPBACK, arguments.listen)
        server = SignalingServer(
            listen,
            registry,
            random=SystemRandom(),
            keys_file=arguments.keys,
            dataplane=lambda: agent.state.forwarder,
        )
        await stack.enter_async_context(server)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True, help="port of the page")
    parser.add_argument("--vip", type=int, required=True, help="port of the relay")
    parser.add_argument("--address", default=LOOPBACK, help="address of the relay")
    parser.add_argument("--told", type=int, default=0, help="port that clients are told instead")
    parser.add_argument("--keys", type=Path, help="file of API keys")
    parser.add_argument("--control", type=int, default=0, help="port of the transceiver's API")
    parser.add_argument("--capacity", type=int, default=10)
    parser.add_argument("--backend", default="echo", help="echo, teller, or a URL")
    logging.basicConfig(level=logging.INFO)  # how calls end is in the log
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
