"""`icelane trace`: what becomes of each packet of one client."""

from typing import Annotated

import typer

from relay.cli.output import Loaded


def trace(
    client: Annotated[
        str,
        typer.Argument(
            metavar="CLIENT", help="An address, or one with its port: 203.0.113.2:40000."
        ),
    ],
    *,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=3600, help="End after so many seconds.")
    ] = 10.0,
    count: Annotated[
        int, typer.Option("--count", "-c", min=0, help="End after so many packets; 0: never.")
    ] = 0,
    instance: Loaded = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Show what the XDP program does with each packet of one client, for some seconds.

    A line a packet: time, in or out, client and other end, kind, bytes, verdict and counter.

    Examples:
        icelane trace 203.0.113.2
        icelane trace '[2001:db8::2]:40000' --seconds 60 --count 100 --json
    """
    from relay.admin.tracing import parse_client
    from relay.cli.traceview import follow

    follow(instance, parse_client(client), seconds=seconds, count=count, as_json=as_json)
