"""`icelane dataplane`: choose what forwards, while the relay runs."""

from typing import Annotated

import typer

from relay.cli.output import Admin, Running
from relay.dataplane.interface import DataplaneChoice

SECONDS = 60.0  # an agent that has to compile the program first takes a few

app = typer.Typer(no_args_is_help=True, help="Choose what forwards, while the relay runs.")


@app.callback()
def _group() -> None:
    """Keep `switch` a subcommand though it is the only one."""


@app.command()
def switch(
    dataplane: Annotated[DataplaneChoice, typer.Argument(help="xdp or userspace.")],
    *,
    instance: Running = "",
    admin: Admin = None,
) -> None:
    """Let the kernel forward, or the agent, from the next packet on; no call notices."""
    from relay.admin.place import default_path
    from relay.admin.transport import ask

    answer = ask(
        admin or default_path(instance), "switch", timeout=SECONDS, dataplane=dataplane.value
    )
    typer.echo(f"the {answer['dataplane']} dataplane forwards")
