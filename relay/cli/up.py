"""`icelane up`: relay, transceiver and signaling in one process on this host."""

from typing import Annotated

import typer

from relay.run.service import log_to_stderr


def up(
    *,
    vip: Annotated[
        str | None,
        typer.Option(
            help="The address that clients send media to, IP:PORT. "
            "Default: this host's own address, port 3478."
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Where signaling and its page are served, IP:PORT.")
    ] = "127.0.0.1:8080",
    dataplane: Annotated[
        str, typer.Option(help="userspace, xdp, or auto: XDP where it can be had.")
    ] = "userspace",
    interface: Annotated[
        list[str] | None,
        typer.Option(help="The public interface, which runs the XDP program."),
    ] = None,
    instance: Annotated[str, typer.Option(help="A name, where several run on a host.")] = "up",
    verbose: Annotated[bool, typer.Option(help="Log more.")] = False,
) -> None:
    """Serve everything on this host: open the page in a browser and talk."""
    from relay.cli import allinone

    log_to_stderr(verbose)
    allinone.run(vip, listen, dataplane, tuple(interface or ()), instance)
