"""`icelane flows`: the relay's flows."""

from relay.cli.output import Admin, AsJson, Running, print_json

FILE_WIDTH = 1000  # columns: a line in a file or a pipe need not fit a screen


def flows(
    *,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """List the relay's flows: from its agent, or from the pinned maps where no agent runs.

    Examples:
        icelane flows
        icelane flows --json | jq length
    """
    from rich.console import Console

    from relay.admin.flowview import flow_table
    from relay.admin.snapshot import take_snapshot

    snapshot = take_snapshot(instance, admin)
    if as_json:
        print_json(snapshot["flows"])
        return
    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(flow_table(snapshot["flows"]))
