"""Calls as one who has an API key sees them: his own, by the server that places them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from relay.errors import AdminError
from relay.unanswered import in_words

_SECONDS = 10.0  # for the server to answer
_CALLS = "/v1/realtime/calls"


class OwnCallsError(AdminError):
    """The server does not tell, or there is no such call; the text says what to do."""


def own_calls(server: str, api_key: str | None) -> list[dict[str, Any]]:
    """The calls of an API key, the youngest first.

    Args:
        server: The signaling server's URL.
        api_key: The key.

    Raises:
        OwnCallsError: The server does not tell.
    """
    answer = asyncio.run(_ask("GET", server, _CALLS, api_key))
    calls = answer.get("data")
    if not isinstance(calls, list) or not all(map(_is_call, calls)):
        raise OwnCallsError(f"{server} does not list calls: is it Icelane's signaling?")
    return calls


def hang_up(server: str, api_key: str | None, call_id: str) -> dict[str, Any]:
    """End a call; returns what was counted.

    Raises:
        OwnCallsError: The server does not end it.
    """
    return asyncio.run(_ask("DELETE", server, f"{_CALLS}/{call_id}", api_key))


def row(call: Mapping[str, Any]) -> dict[str, str]:
    """A call in a line of a table. Pure."""
    share, trip = call["concealed_share"], call["round_trip_seconds"]
    return {
        "id": call["id"],
        "state": call["state"],
        "age": f"{call['age_seconds']:,.0f} s",
        "principal": call["principal"] or "-",
        "model": call["model"] or "-",
        "client": call["client"] or "-",
        "lost": f"{call['rtp']['lost']}",
        "concealed": "-" if share is None else f"{share:.1%}",
        "round trip": "-" if trip is None else f"{1000 * trip:.0f} ms",
    }


def _is_call(value: object) -> bool:
    named = ("principal", "model", "client", "concealed_share", "round_trip_seconds")
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(name), str) for name in ("id", "state"))
        and isinstance(value.get("age_seconds"), int | float)
        and isinstance(value.get("rtp"), dict)
        and "lost" in value["rtp"]
        and all(name in value for name in named)
    )


async def _ask(method: str, server: str, path: str, api_key: str | None) -> dict[str, Any]:
    import aiohttp

    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
            http.request(method, server.rstrip("/") + path) as response,
        ):
            body = await response.json(content_type=None)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise OwnCallsError(f"{server} cannot be asked: {in_words(error)}") from None
    if not isinstance(body, dict):
        raise OwnCallsError(f"{server} answers {status} without a JSON object")
    if status >= 400:
        fault = body.get("error")
        message = fault.get("message") if isinstance(fault, dict) else None
        raise OwnCallsError(f"{server} answers {status}: {message or 'it does not say why'}")
    return body
