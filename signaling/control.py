"""The HTTP client of a transceiver's control API."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from relay.wire.transport import Candidate
from signaling.callid import is_session_id
from signaling.errors import BusyError, OfferRejectedError, SessionNotFoundError, UnreachableError
from signaling.placement import Load

_DEFAULT_RETRY_AFTER = 2  # seconds


@dataclass(frozen=True, slots=True)
class Session:
    """A session that a transceiver has just created.

    Attributes:
        id: The transceiver's id of it.
        sdp: The SDP answer.
    """

    id: str
    sdp: str


class ControlClient:
    """Talks to one transceiver; every request ends within `timeout` seconds.

    Args:
        http: The client session to use; its owner closes it.
        url: Where the control API is, such as ``http://192.0.2.2:9000``.
        timeout: Seconds from the start of a request to the end of its answer.
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, *, timeout: float) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def health(self) -> Load:
        """Ask the transceiver for its load.

        Raises:
            UnreachableError: It did not answer in time.
        """
        status, answer, _ = await self._request("GET", "/v1/health")
        sessions, capacity = answer.get("sessions"), answer.get("capacity")
        if status != 200 or not isinstance(sessions, int) or not isinstance(capacity, int):
            raise UnreachableError(f"{self._url}/v1/health answered {status} without a load")
        return Load(sessions, capacity, draining=answer.get("draining") is not False)

    async def create(self, offer: str, candidates: Sequence[Candidate]) -> Session:
        """Create a session for an offer.

        Args:
            offer: The client's SDP.
            candidates: What the answer tells of the relays, the preferred one first.

        Raises:
            OfferRejectedError: The offer cannot be answered.
            BusyError: The transceiver is full.
            UnreachableError: It did not answer in time.
        """
        body = {"sdp": offer, "candidates": [each.dump() for each in candidates]}
        status, answer, headers = await self._request("POST", "/v1/sessions", body)
        if status == 201:
            session_id, sdp = answer.get("id"), answer.get("sdp")
            if isinstance(session_id, str) and is_session_id(session_id) and isinstance(sdp, str):
                return Session(session_id, sdp)
        if status == 503:
            raise BusyError(f"{self._url} is full", _retry_after(headers))
        if status == 400:
            raise OfferRejectedError(*_code_and_message(answer))
        raise UnreachableError(f"{self._url}/v1/sessions answered {status}, which is not its API")

    async def delete(self, session_id: str) -> dict[str, Any]:
        """End a session and return its final statistics.

        Raises:
            SessionNotFoundError: There is no such session.
            UnreachableError: The transceiver did not answer in time.
        """
        status, answer, _ = await self._request("DELETE", f"/v1/sessions/{session_id}")
        if status == 404:
            raise SessionNotFoundError(f"{self._url} has no session {session_id}")
        if status != 200:
            raise UnreachableError(f"{self._url}/v1/sessions/{session_id} answered {status}")
        return answer

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        try:
            async with self._http.request(
                method, self._url + path, json=body, timeout=self._timeout, allow_redirects=False
            ) as response:
                return response.status, _json_object(await response.read()), response.headers
        except TimeoutError:
            raise UnreachableError(
                f"{self._url}{path} did not answer within {self._timeout.total} s"
            ) from None
        except aiohttp.ClientError as error:
            raise UnreachableError(f"{self._url}{path}: {error}") from None


def _json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body; an empty one where there is none, as the status decides then."""
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> int:
    value = headers.get("Retry-After", "")
    return int(value) if value.isascii() and value.isdigit() else _DEFAULT_RETRY_AFTER


def _code_and_message(answer: dict[str, Any]) -> tuple[str, str]:
    """Code and message of an error response."""
    error = answer.get("error")
    fields = error if isinstance(error, dict) else {}
    return (
        str(fields.get("code", "invalid_offer")),
        str(fields.get("message", "the transceiver cannot answer this offer")),
    )
