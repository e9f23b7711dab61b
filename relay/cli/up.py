"""`icelane up`: relay, transceiver and signaling in one process on this host."""

from typing import Annotated

import typer

from relay.cli.options import with_settings
from relay.cli.output import Verbose
from relay.cli.tree import UpSettings
from relay.run.service import log_to_stderr


@with_settings(UpSettings)
def up(
    settings: UpSettings,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what serves, and what was found, as JSON.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Serve everything on this host: open the page in a browser and talk.

    Examples:
        icelane up
        icelane up --listen 0.0.0.0:8443 --tls-self-signed --open   # for a phone
        icelane up --backend echo
    """
    from relay.cli import allinone

    log_to_stderr(verbose)
    allinone.run(settings, as_json=as_json, verbose=verbose)
