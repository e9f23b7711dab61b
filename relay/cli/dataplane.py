"""`icelane dataplane`: choose what forwards, while the relay runs."""

from enum import StrEnum
from typing import Annotated

import typer

from relay.cli.output import Admin, AsJson, Running, print_json

SECONDS = 60.0  # an agent that has to compile the program first takes a few

app = typer.Typer(no_args_is_help=True, help="Choose what forwards, while the relay runs.")


class Forwarder(StrEnum):
    """What can be switched to."""

    XDP = "xdp"
    USERSPACE = "userspace"


@app.callback()
def _group() -> None:
    """Keep `switch` a subcommand though it is the only one."""


@app.command()
def switch(
    dataplane: Annotated[Forwarder, typer.Argument(help="xdp or userspace.")],
    *,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """Let the kernel forward, or the agent, from the next packet on; no call notices.

    Examples:
        icelane dataplane switch xdp
        icelane dataplane switch userspace --instance blue
    """
    from relay.admin.place import default_path
    from relay.admin.transport import ask

    answer = ask(
        admin or default_path(instance), "switch", timeout=SECONDS, dataplane=dataplane.value
    )
    if as_json:
        print_json({"instance": instance, "dataplane": answer["dataplane"]})
    else:
        typer.echo(f"the {answer['dataplane']} dataplane forwards")
