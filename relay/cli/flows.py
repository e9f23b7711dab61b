"""`icelane flows`: the relay's flows, listed, shown, closed and watched."""

from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.complete import instances, transceivers
from relay.cli.output import Admin, AsJson, Running, print_json, the_one_that_runs
from relay.errors import AdminError, ConfigError

if TYPE_CHECKING:
    from relay.admin.flowfilter import FlowFilter
    from relay.admin.flowsource import PinnedFlows

_EXAMPLES = """Examples:

icelane flows --client 203.0.113.0/24 --state confirmed

icelane flows --sort -rate --limit 20 --columns client,transceiver,rate-in,rate-out

icelane flows --one-way --json"""

app = typer.Typer(epilog=_EXAMPLES)

Client = Annotated[
    str | None,
    typer.Option(help="Of these clients: a network, an address, or one with its port."),
]
Transceiver = Annotated[
    str | None,
    typer.Option(
        autocompletion=transceivers,
        help="To this transceiver: its address, or where routes lead, such as 1/20 or 1/20.3.",
    ),
]
_NAMED = typer.Argument(
    metavar="FLOW",
    help="Its client (without the port, too), its upstream port, its id, or its ufrag.",
)


@app.callback(invoke_without_command=True)
def flows(
    context: typer.Context,
    *,
    client: Client = None,
    transceiver: Transceiver = None,
    state: Annotated[str | None, typer.Option(help="pending or confirmed.")] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Known for at least so long: 90s, 5m, 2h.")
    ] = None,
    younger_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Known for at most so long.")
    ] = None,
    idle_for: Annotated[
        str | None, typer.Option(metavar="TIME", help="Without a packet for so long.")
    ] = None,
    one_way: Annotated[
        bool, typer.Option("--one-way", help="One side alone has sent of late (5 s).")
    ] = False,
    min_rate: Annotated[
        float | None, typer.Option(min=0, help="At least so many packets a second, both ways.")
    ] = None,
    max_rate: Annotated[
        float | None, typer.Option(min=0, help="At most so many packets a second, both ways.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="[-]COLUMN", help="In this order; with -, largest first.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="These columns; a wrong one lists all.")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", "-w", help="Many columns.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="So many flows.")] = None,
    interval: Annotated[
        float, typer.Option(min=0.1, max=60, help="Seconds between two looks, for rates.")
    ] = 1.0,
    instance: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=instances,
            help="Which relay, where several run. Default: the one that runs here.",
            show_default=False,
        ),
    ] = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """List the relay's flows, from its agent, or from the pinned maps; or show, close, watch them.

    Ages and pending flows are known to an agent alone.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    from relay.admin.flowfilter import FlowFilter
    from relay.admin.flowsource import PinnedFlows, find_flows
    from relay.cli.flowlist import FlowView, print_flows

    wanted = FlowFilter.parse(
        client=client,
        transceiver=transceiver,
        state=state,
        older=older_than,
        younger=younger_than,
        idle=idle_for,
        one_way=one_way,
    )
    view = FlowView.parse(
        wanted,
        columns=columns,
        sort=sort,
        wide=wide,
        limit=limit,
        interval=interval,
        min_rate=min_rate,
        max_rate=max_rate,
    )
    source = find_flows(the_one_that_runs(context, instance), admin)
    if isinstance(source, PinnedFlows):
        _say_what_is_missing(source, wanted)
    print_flows(source, wanted, view, as_json=as_json)


def _refuse_options(context: typer.Context) -> None:
    """Options before a subcommand would mean nothing to it."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: options of {context.invoked_subcommand} go behind it"
        )


def _say_what_is_missing(source: "PinnedFlows", wanted: "FlowFilter") -> None:
    if wanted.asks_for_age:
        trouble = source.note or "no agent runs"
        raise ConfigError(f"{trouble}; an agent alone knows how old flows are")
    if source.note:
        typer.echo(f"icelane: {source.note}; these are the flows of the pinned maps", err=True)


@app.command()
def show(
    flow: Annotated[str, _NAMED],
    *,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """Show one flow: both directions, rates, age, route, next hops, owner and mirror record.

    Examples:
        icelane flows show 203.0.113.2:40000
        icelane flows show 20017 --json
    """
    from relay.admin.flowsource import find_flows
    from relay.cli.flowshow import described, print_flow

    told = described(find_flows(instance, admin), instance, flow)
    if as_json:
        print_json(told)
    else:
        print_flow(told)


@app.command()
def close(
    flows: Annotated[list[str], _NAMED],
    *,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """Close flows: in the agent, in the kernel and in the mirror.

    A client that lives comes back at its next check, as long as its ufrag opens new flows.

    Examples:
        icelane flows close 203.0.113.2:40000
        icelane flows close 20017 20018 --json
    """
    from relay.admin.flowentry import packed
    from relay.admin.flowsource import PinnedFlows, find_flows
    from relay.admin.question import ask
    from relay.cli.flowshow import the_one

    source = find_flows(instance, admin)
    if isinstance(source, PinnedFlows):
        raise AdminError(
            f"{source.note or 'no agent runs'}; an agent alone closes flows: start it anew, or let "
            f"the program go with all its flows by `icelane relay unload --instance {instance}`"
        )
    named = {packed(entry.addresses): entry for entry in (the_one(source, each) for each in flows)}
    closed = set(ask(source.path, "close", flows=list(named))["closed"])
    rows = [
        {
            "id": entry.id,
            "client": str(entry.addresses.client),
            "upstream": str(entry.addresses.upstream),
            "closed": text in closed,
        }
        for text, entry in named.items()
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        done = "Closed" if row["closed"] else "It had gone already:"
        print(f"{done} {row['client']} at {row['upstream']} ({row['id']}).")


@app.command()
def watch(
    *,
    client: Client = None,
    transceiver: Transceiver = None,
    count: Annotated[
        int, typer.Option("--count", "-c", min=0, help="End after so many events; 0: never.")
    ] = 0,
    instance: Running = "",
    admin: Admin = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Tell of flows that are opened, confirmed and closed, until Ctrl-C.

    Examples:
        icelane flows watch
        icelane flows watch --client 203.0.113.0/24 --json
    """
    from relay.admin.flowfilter import FlowFilter
    from relay.cli.flowwatch import print_events

    wanted = FlowFilter.parse(client=client, transceiver=transceiver)
    try:
        print_events(instance, admin, wanted, count=count, as_json=as_json)
    except KeyboardInterrupt:
        return
