"""`icelane agent`: run the offline voice agent."""

import asyncio

import typer

from relay.cli.agentservice import agent_service
from relay.cli.options import with_settings
from relay.cli.output import Verbose
from relay.run.service import log_to_stderr, serve
from transceiver.agent.settings import AgentSettings

app = typer.Typer(
    help="The offline voice agent: a Realtime service without a network.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Keep `run` a subcommand though it is the only one."""


@app.command()
@with_settings(AgentSettings)
def run(settings: AgentSettings, *, verbose: Verbose = False) -> None:
    """Serve Realtime sessions until SIGTERM or SIGINT.

    Prints one line that begins with `ready` when it serves; logs go to standard error.

    Examples:
        icelane agent run
        icelane agent run --listen 127.0.0.1:8091 --capacity 20
    """
    log_to_stderr(verbose)
    asyncio.run(serve(agent_service(settings), lambda each: f"ready {each.url}"))
