"""The route that lists calls: those of the principal who asks, and no others.

Whoever knows the id of a call may hang it up, so nobody is told of calls that are not his: where
there are no API keys nobody has any. Operators see all of them: `icelane calls`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import hdrs, web

from signaling.auth.gate import caller_of
from signaling.callid import CALLS, join_call_id
from signaling.errors import ApiError
from signaling.pool import TransceiverPool
from signaling.routes import Access, Route

# What clients are told of a call; the rest exposes internal addresses, or is a secret of the path.
_SHOWN = ("principal", "model", "state", "client", "setup_seconds", "age_seconds", "steps", "rtp")


class OwnCallRoutes:
    """The list.

    Args:
        pool: Knows the transceivers.
    """

    def __init__(self, pool: TransceiverPool) -> None:
        self._pool = pool

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [Route(hdrs.METH_GET, CALLS, self._list, Access.KEY)]

    async def _list(self, request: web.Request) -> web.Response:
        principal = caller_of(request).principal
        if principal is None:
            raise ApiError(
                403,
                "insufficient_permissions",
                "Calls are listed to who has an API key, and this server knows none.",
            )
        controls = self._pool.members.controls
        asked = (control.sessions(principal) for control in controls.values())
        answers = await asyncio.gather(*asked)
        calls = [
            shown(join_call_id(target, session["id"]), session)
            for target, sessions in zip(controls, answers, strict=True)
            for session in sessions
        ]
        calls.sort(key=lambda call: call["age_seconds"] or 0.0)
        return web.json_response({"object": "list", "data": calls})


def shown(call_id: str, session: Mapping[str, Any]) -> dict[str, Any]:
    """A call as its client sees it.

    Args:
        call_id: Its id.
        session: What its transceiver tells.
    """
    audio = session.get("audio")
    audio = audio if isinstance(audio, dict) else {}
    return {
        "id": call_id,
        **{name: session.get(name) for name in _SHOWN},
        "concealed_share": audio.get("concealed_share"),
        "round_trip_seconds": audio.get("round_trip"),
    }
