"""`icelane relay`: run a relay, and handle the program that it loads into the kernel."""

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.complete import instances
from relay.cli.options import with_settings
from relay.cli.output import Admin, AsJson, Instance, Verbose, console, print_json, print_rows
from relay.run.settings import RelaySettings

if TYPE_CHECKING:
    from relay.dataplane import xdp

app = typer.Typer(no_args_is_help=True, help="Run a relay; load, unload and inspect its program.")


_LOADED = {
    *("vip", "upstream", "ports", "keys", "registry", "redis", "cluster"),
    *("interface", "mode", "force", "admin"),
}
_SECONDS = 60.0  # an agent with many flows takes some, and one that has to compile a few


@app.command()
@with_settings(RelaySettings)
def run(settings: RelaySettings, *, verbose: Verbose = False) -> None:
    """Serve: route clients by their ufrag, forward them, in the kernel where it can be had.

    Examples:
        icelane relay run --config icelane.toml
        icelane relay run --config icelane.toml --takeover   # in place of the one that runs
        icelane relay run --config icelane.toml --interface eth0 --interface eth1
    """
    from relay.handover import replace_this_process
    from relay.tracing.config import TracingConfig

    tracing = TracingConfig.of(settings.tracing, settings.tracing_ratio, os.environ)
    config = replace(settings.config(), tracing=tracing)
    # Where this user has it, which another that the relay becomes would look for elsewhere.
    replace_this_process("relay.run.process", (replace(config, admin=config.admin_path), verbose))


@app.command()
@with_settings(RelaySettings, only=_LOADED | {"instance", "max_flows"})
def load(settings: RelaySettings, *, as_json: AsJson = False) -> None:
    """Compile, load and attach the XDP program; over a running one, replace it and keep flows.

    It needs no registry: without one the clusters are those of --cluster, or 1.

    Examples:
        icelane relay load --config icelane.toml
        icelane relay load --config icelane.toml --interface eth0
    """
    from relay.admin.place import is_somebody
    from relay.config.keyfile import load_keys
    from relay.dataplane import xdp
    from relay.dataplane.kernel.config import Outcome
    from relay.wire.keysource import Role

    relay = settings.config(routes=False)
    registry = relay.directory()
    keys = load_keys(relay.keys, Role.RELAY, registry.clusters)
    wanted = relay.load_config(keys, registry)
    # An agent that forwards has flows of which a new program knows nothing, and it would drop them.
    served = not xdp.is_loaded(relay.instance) and is_somebody(relay.admin_path)
    report = xdp.load(replace(wanted, reload=True, pass_all=served))
    if served:
        _give_to_agent(relay.instance, relay.admin_path)
    if as_json:
        print_json(asdict(report))
        return
    for warning in report.warnings:
        typer.echo(f"icelane: {warning}", err=True)
    attached = ", ".join(f"{name} ({how})" for name, how in report.interfaces.items())
    verb = "Loaded" if report.outcome is Outcome.LOADED else "Replaced the program of"
    print(f"{verb} {report.instance} on {attached}; room for {report.max_flows:,} flows.")
    print(f"Kernel {report.kernel}, program {report.object}; {report.seconds * 1000:.0f} ms.")


def _give_to_agent(instance: str, path: Path) -> None:
    """Have a running agent use the program that was loaded, or unload it again."""
    from relay.admin.transport import ask
    from relay.dataplane import xdp
    from relay.errors import AdminError

    try:
        ask(path, "switch", timeout=_SECONDS, dataplane="xdp")
    except AdminError as error:
        xdp.unload(instance)
        raise AdminError(f"the running relay cannot use the program: {error}") from None


@app.command()
def build(
    *,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing where it is compiled already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compile the XDP program and keep it, so that loading needs neither compiler nor headers.

    Examples:
        icelane relay build
        icelane relay build --if-missing
    """
    from relay.dataplane.kernel import objects

    found = objects.find_or_build() if if_missing else objects.build()
    if as_json:
        print_json(
            {
                "path": str(found.path) if found.path else None,
                "key": found.object.key.hex(),
                "built_with": found.object.built_with,
                "seconds": None if found.built_in is None else round(found.built_in, 3),
            }
        )
    elif found.built_in is not None:
        print(f"XDP program {found} ({found.object.built_with}).")


@app.command()
def unload(
    *,
    instance: Instance = "default",
    admin: Admin = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Do not ask the relay's agent: its calls lose packets."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Detach the XDP program and remove its maps; a running agent first takes its flows over.

    Examples:
        icelane relay unload
        icelane relay unload --instance blue
    """
    from relay.admin.place import default_path, is_somebody
    from relay.dataplane import xdp

    path = admin or default_path(instance)
    asked = not force and is_somebody(path)
    unloaded = _unload_by_agent(path) if asked else xdp.unload(instance)
    if as_json:
        print_json({"instance": instance, "unloaded": unloaded})
    else:
        print(f"Unloaded {instance}." if unloaded else f"{instance} was not loaded.")


def _unload_by_agent(path: Path) -> bool:
    from relay.admin.transport import ask
    from relay.errors import AdminError

    try:
        return bool(ask(path, "unload", timeout=_SECONDS)["unloaded"])
    except AdminError as error:
        raise AdminError(
            f"{error}. With --force the program goes all the same, and calls lose packets until "
            "the agent notices."
        ) from None


@app.command()
def drain(
    *,
    end: Annotated[bool, typer.Option("--end", help="Want clients again.")] = False,
    instance: Instance = "default",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """Want no new clients: no answer advertises the relay any more. It forwards as ever.

    Examples:
        icelane relay drain
        icelane relay drain --end   # want clients again
    """
    from relay.admin.place import default_path
    from relay.admin.transport import ask

    answer = ask(admin or default_path(instance), "drain", on=not end)
    if as_json:
        print_json({"instance": instance, "draining": answer["draining"]})
    else:
        print(f"{instance} {'drains' if answer['draining'] else 'wants clients'}.")


@app.command()
def status(
    *,
    instance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="One relay; without it, all of this host.",
            autocompletion=instances,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the relays of this host: what is loaded into the kernel, and who runs in userspace.

    What is loaded is shown with or without an agent.

    Examples:
        icelane relay status
        icelane relay status --json | jq '.[].flows'
    """
    from relay.admin.place import running
    from relay.dataplane import xdp
    from relay.dataplane.kernel import pins
    from relay.errors import DataplaneError

    names = [instance] if instance is not None else sorted({*pins.instances(), *running()})
    agents = {name: _told_by_agent(name) for name in names}
    found: dict[str, xdp.Status | None] = {}
    for name, agent in agents.items():
        try:
            found[name] = xdp.status(name)
        except DataplaneError as error:
            if agent.get("dataplane") == "userspace":
                found[name] = None
            elif instance is not None:
                raise
            else:
                # Such as one of another version: it is no reason to hide the others.
                typer.echo(f"icelane: {name}: {error}", err=True)
    if as_json:
        print_json([_as_json(name, each, agents[name]) for name, each in found.items()])
        return
    if not found:
        print("No relay runs or is loaded: start one with `icelane relay run` or `icelane up`.")
    for name, each in found.items():
        if each is None:
            used, most = agents[name]["used"]["flows"], agents[name]["limits"]["flows"]
            print(f"{name} in userspace\nflows {used:,} of {most:,}{_full(used, most)}")
        else:
            _print_status(each)
        _print_agent(agents[name])


def _full(used: int, most: int) -> str:
    """That a relay has no room left, and what gives it more."""
    return " (full: new clients get none; raise --max-flows and --ports)" if used >= most else ""


def _as_json(name: str, loaded: "xdp.Status | None", agent: Mapping[str, Any]) -> dict[str, Any]:
    """A relay as plain data; what only a program in the kernel has is empty in userspace."""
    told = {key: agent.get(key) for key in ("dataplane", "host", "start", "trouble")}
    if loaded is not None:
        return asdict(loaded) | told
    flows = {"flows": agent["used"]["flows"], "max_flows": agent["limits"]["flows"]}
    program = {"interfaces": {}, "stashed": 0, "program": None, "counters": {}, "unseen": []}
    return {"instance": name} | flows | program | told


def _print_agent(agent: Mapping[str, Any]) -> None:
    from relay.dataplane.hostfacts import HostFacts
    from relay.run.starttimes import StartTimes

    if agent.get("host"):  # an older agent does not tell
        print(f"When its agent started: {HostFacts.load(agent['host'])}.")
    if agent.get("start"):
        print(f"It {StartTimes.from_json(agent['start'])}.")
    if agent.get("trouble"):
        print(f"Trouble: {agent['trouble']}")


def _told_by_agent(instance: str) -> Mapping[str, Any]:
    """What the agent of an instance says of its start; nothing where none answers."""
    from relay.admin.place import default_path
    from relay.admin.transport import first_piece
    from relay.errors import AdminError

    try:
        return first_piece(default_path(instance), "status")
    except AdminError:
        return {}


def _print_status(found: "xdp.Status") -> None:
    attached = ", ".join(
        f"{name} ({how or 'not attached here'})" for name, how in found.interfaces.items()
    )
    screen = console()
    screen.print(f"[bold]{found.instance}[/] on {attached or 'no interface'}")
    stashed = f" ({found.stashed:,} in the stash)" if found.stashed else ""
    full = _full(found.flows, found.max_flows)
    screen.print(
        f"flows {found.flows:,} of {found.max_flows:,}{stashed}{full}, program {found.program}"
    )
    for each in found.unseen:
        screen.print(each)
    rows = [
        {"reason": name, "packets": f"{count:,}"} for name, count in found.counters.items() if count
    ]
    if rows:
        print_rows(rows)
