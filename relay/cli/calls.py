"""`icelane calls`: the calls that transceivers have, with their flows; and to hang one up.

An operator asks the transceivers and sees all of them. Who has an API key asks the server that he
calls, and sees his own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.output import Admin, AsJson, Running, print_json, print_rows
from relay.errors import AdminError, IcelaneError
from relay.unanswered import in_words

if TYPE_CHECKING:
    from relay.cli.callview import Place

app = typer.Typer(no_args_is_help=True, help="List, show and hang up calls.")

RegistryFile = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        metavar="FILE",
        readable=False,
        help="Whose transceivers are asked. Default: those of the relay that runs here.",
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Ask this signaling server, for the calls of an API key.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        envvar="ICELANE_API_KEY",
        help="The API key for --server; better in the environment.",
    ),
]
_CallId = Annotated[str, typer.Argument(metavar="ID", help="The call, as `list` names it.")]
_SECONDS = 3.0  # for a transceiver to answer


class CallsError(AdminError):
    """Calls cannot be told, or there is no such call; the text says what to do."""


@app.command("list")
def list_(
    *,
    server: Server = None,
    api_key: ApiKey = None,
    registry: RegistryFile = None,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """List calls, the youngest first: all of them, or those of an API key.

    Examples:
        icelane calls list
        icelane calls list --registry registry.toml --json
        ICELANE_API_KEY=... icelane calls list --server https://voice.example.net
    """
    if server is not None:
        from relay.cli.owncalls import own_calls, row

        calls = own_calls(server, api_key)
    else:
        from relay.cli.callview import row

        calls = _calls(*_known(registry, instance, admin))
    if as_json:
        print_json(calls)
    elif calls:
        print_rows([row(call) for call in calls])
    else:
        typer.echo("No calls.", err=True)


@app.command()
def show(
    call_id: _CallId,
    *,
    server: Server = None,
    api_key: ApiKey = None,
    registry: RegistryFile = None,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of a call.

    Examples:
        icelane calls show CALL
    """
    from relay.cli.callview import lines

    if server is not None:
        from relay.cli.owncalls import own_calls

        calls = own_calls(server, api_key)
    else:
        calls = _calls(*_known(registry, instance, admin))
    call = next((each for each in calls if each["id"] == call_id), None)
    if call is None:
        raise _no_such(call_id)
    if as_json:
        print_json(call)
        return
    named = lines(call)
    width = max(len(name) for name, _ in named)
    for name, value in named:
        print(f"{name:{width}}  {value}")


@app.command()
def hangup(
    call_id: _CallId,
    *,
    server: Server = None,
    api_key: ApiKey = None,
    registry: RegistryFile = None,
    instance: Running = "",
    admin: Admin = None,
    as_json: AsJson = False,
) -> None:
    """End a call.

    Examples:
        icelane calls hangup CALL
    """
    if server is not None:
        from relay.cli.owncalls import hang_up

        stats = hang_up(server, api_key, call_id)
    else:
        stats = _hang_up(call_id, registry, instance, admin)
    if as_json:
        print_json(stats)
    else:
        print(f"Hung up {call_id} after {stats['age_seconds']:.0f} s.")


def _hang_up(
    call_id: str, registry: Path | None, instance: str, admin: Path | None
) -> dict[str, Any]:
    from signaling.callid import split_call_id

    places, _ = _known(registry, instance, admin)
    split = split_call_id(call_id)
    place = next((each for each in places if split and each.target == split[0]), None)
    if split is None or place is None:
        raise _no_such(call_id)
    stats = asyncio.run(_delete(f"{place.control}/v1/sessions/{split[1]}"))
    if stats is None:
        raise _no_such(call_id)
    return stats


def _no_such(call_id: str) -> CallsError:
    return CallsError(f"there is no call {call_id}: `icelane calls list` has those that there are")


def _known(
    registry: Path | None, instance: str, admin: Path | None
) -> tuple[list["Place"], Sequence[Mapping[str, Any]]]:
    """The transceivers to ask, and the flows of the relay, where one runs here.

    Raises:
        IcelaneError: Nobody knows of a transceiver that can be asked.
    """
    from relay.admin.snapshot import take_snapshot
    from relay.cli.callview import Place
    from relay.config.registry import Registry
    from relay.wire.route import Target

    try:
        snapshot = take_snapshot(instance, admin)
    except IcelaneError as error:
        if registry is None:
            reason = str(error).rstrip(".")
            raise CallsError(f"{reason}; name the transceivers with --registry FILE") from None
        snapshot = {"flows": []}
    if registry is not None:
        known = [each.as_json() for each in Registry.load(registry).transceivers]
    else:
        known = list(snapshot.get("transceivers", ()))
    places = [
        Place(Target.parse(str(each["target"])), str(each["control"]))
        for each in known
        if each["control"]
    ]
    if not places:
        where = registry or "the relay's registry"
        raise CallsError(f"no transceiver of {where} has a control URL: write `control` there")
    return places, snapshot["flows"]


def _calls(places: Sequence["Place"], flows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The calls of all transceivers; those that do not answer are told on standard error.

    Raises:
        CallsError: None of them answers.
    """
    from relay.cli.callview import joined

    answers = asyncio.run(_ask(places))
    silent = [answer for answer in answers.values() if isinstance(answer, str)]
    if len(silent) == len(places):
        raise CallsError("; ".join(silent))
    for reason in silent:
        typer.echo(f"icelane: {reason}", err=True)
    found = [
        (place, session)
        for place, answer in answers.items()
        if not isinstance(answer, str)
        for session in answer
    ]
    return joined(found, flows)


async def _ask(places: Sequence["Place"]) -> dict["Place", list[dict[str, Any]] | str]:
    """What each transceiver tells: its sessions, or in words why it does not."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:

        async def ask(place: "Place") -> list[dict[str, Any]] | str:
            try:
                async with http.get(f"{place.control}/v1/sessions") as response:
                    sessions: list[dict[str, Any]] = (await response.json())["sessions"]
                    return sessions
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
                where = f"transceiver {place.target} at {place.control}"
                return f"{where} cannot be asked: {in_words(error)}"

        return dict(zip(places, await asyncio.gather(*map(ask, places)), strict=True))


async def _delete(url: str) -> dict[str, Any] | None:
    """End a session; its last statistics, None if there is none.

    Raises:
        CallsError: The transceiver does not answer as it should.
    """
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.delete(url) as response:
            if response.status == 404:
                return None
            response.raise_for_status()
            stats: dict[str, Any] = await response.json()
            return stats
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise CallsError(f"{url} cannot be asked: {in_words(error)}") from None
