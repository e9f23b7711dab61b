"""`icelane transceiver`: run a transceiver."""

import asyncio
import logging
import signal
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.errors import WireError
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from transceiver import DEFAULT_CAPACITY

if TYPE_CHECKING:
    from transceiver.server import TransceiverConfig

app = typer.Typer(
    help="The transceiver: ends ICE, DTLS and SRTP, and answers calls.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Keep `run` a subcommand though it is the only one."""


@app.command()
def run(
    *,
    listen: Annotated[
        str, typer.Option(metavar="IP:PORT", help="UDP address of media, as relays reach it.")
    ],
    control: Annotated[
        str, typer.Option(metavar="IP:PORT", help="Address of the control API (HTTP, internal).")
    ],
    keys: Annotated[
        Path, typer.Option(metavar="FILE", help="Key file; make one with `icelane keys new`.")
    ],
    cluster: Annotated[int, typer.Option(min=0, max=0xFFFF, help="Number of the cluster.")] = 1,
    slot: Annotated[
        int, typer.Option(min=0, max=0xFFFFFF, help="Number of this transceiver in it.")
    ] = 1,
    generation: Annotated[
        int, typer.Option(min=0, max=0xFF, help="Counts the owners of the slot.")
    ] = 1,
    capacity: Annotated[
        int, typer.Option(min=1, help="The most sessions at a time.")
    ] = DEFAULT_CAPACITY,
) -> None:
    """Serve sessions until SIGTERM or SIGINT.

    Prints one line that begins with `ready` when it serves; logs go to standard error.
    """
    from relay.wire.keys import KeyRing
    from relay.wire.route import Target
    from transceiver.errors import StartError
    from transceiver.server import TransceiverConfig

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("aioice").setLevel(logging.WARNING)
    try:
        config = TransceiverConfig(
            listen=_media_address(listen),
            control=_address("--control", control),
            target=Target(cluster, slot, generation),
            keys=KeyRing.load(keys),
            capacity=capacity,
        )
        asyncio.run(_serve(config))
    except (StartError, WireError, typer.BadParameter) as error:
        print(f"icelane transceiver run: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


async def _serve(config: "TransceiverConfig") -> None:
    from transceiver.server import Transceiver

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Transceiver(config) as transceiver:
        print(
            f"ready media={transceiver.address} control=http://{transceiver.control} "
            f"target={config.target}",
            flush=True,
        )
        await stop.wait()


def _address(option: str, text: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except EndpointError as error:
        raise typer.BadParameter(f"{option}: {error}") from None


def _media_address(text: str) -> Endpoint:
    endpoint = _address("--listen", text)
    if ip_address(endpoint.host).is_unspecified:
        raise typer.BadParameter(
            f"--listen {text}: name one address; answers must leave from the one that was asked"
        )
    return endpoint
