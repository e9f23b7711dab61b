"""The HTTP client of a transceiver's control API.

What comes back is judged here, whatever it is: an answer that is not the API's, is endless, slow
or no JSON becomes an error in words, and one request of one client never says more of the
transceiver than that it did not serve this request.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from relay.wire.transport import Candidate
from signaling.callid import is_session_id
from signaling.controlanswers import code_and_message, is_utf8, json_object, retry_after
from signaling.errors import (
    BusyError,
    CallBrokeError,
    CrowdError,
    IllError,
    ModelRejectedError,
    OfferRejectedError,
    SessionNotFoundError,
    SlowError,
    StaleError,
    UnreachableError,
)
from signaling.placement import Load
from signaling.session import NO_SETUP, Setup

#: The header with the load after whatever was asked for; its value is that of `/v1/health`.
LOAD = "Icelane-Load"
# Names of conversations, as the transceiver tells them to back ends, too.
_KEEP, _RESUME = "Icelane-Keep", "Icelane-Resume"
#: Bytes of an answer; a session's has the SDP, which is no longer than the offer, and its id.
MAX_ANSWER = 1 << 20

#: Bytes of a message on a WebSocket: an event with 15 MiB of sound in base64 (facts of the API).
MAX_MESSAGE = 16 << 20
#: Seconds between two pings on a WebSocket, as the OpenAI API sends them.
HEARTBEAT = 20.0

_CLOSING = 2.0  # seconds for the last words on a WebSocket
MAX_MODELS = 1000  # of one transceiver
NO_HEADERS: Mapping[str, str] = {}
# What the transceiver says of an offer or its size; other 4xx are of no request that we make.
_OFFER_IS_BAD = (400, 413, 415, 422)


@dataclass(frozen=True, slots=True)
class Session:
    """A session that a transceiver has just created.

    Attributes:
        id: The transceiver's id of it.
        sdp: The SDP answer.
    """

    id: str
    sdp: str


@dataclass(frozen=True, slots=True)
class IceSession:
    """The ICE of a session.

    Attributes:
        name: Changes with each restart.
        fragment: What a client is told of a restart (RFC 8840); None when there was none.
    """

    name: str
    fragment: str | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


class ControlClient:
    """Talks to one transceiver; every request ends within `timeout` seconds.

    Args:
        http: The client session to use; its owner closes it.
        url: Where the control API is, such as ``http://192.0.2.2:9000``.
        timeout: Seconds from the start of a request to the end of its answer.
        report: Called with the load that an answer tells, whatever else it says.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        *,
        timeout: float,
        report: Callable[[Load], None] = lambda _: None,
    ) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._report = report

    async def health(self) -> Load:
        """Ask the transceiver for its load.

        Raises:
            IllError: It did not answer in time, or not with a load.
        """
        try:
            answer = await self._request("GET", "/v1/health")
        except UnreachableError as error:
            raise IllError(str(error), slow=isinstance(error, SlowError)) from None
        load = Load.read(answer.body)
        if answer.status != 200 or load is None:
            raise IllError(f"{self._url}/v1/health answered {answer.status} without a load")
        return load

    async def create(
        self,
        offer: str,
        candidates: Sequence[Candidate],
        client: str,
        negotiated: int | None = None,
        setup: Setup = NO_SETUP,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Session:
        """Create a session for an offer.

        Args:
            offer: The client's SDP.
            candidates: What the answer tells of the relays, the preferred one first.
            client: Whose offer it is: calls of one client have the same text here.
            negotiated: The stream of the events channel, if the client opens it without a message.
            setup: Its session, model and principal.
            headers: Of the request, such as of which trace it is.

        Raises:
            OfferRejectedError: The offer cannot be answered.
            CallBrokeError: The transceiver failed on it.
            BusyError: The transceiver is full.
            UnreachableError: It did not answer in time.
        """
        told = [each.dump() for each in candidates]
        body: dict[str, Any] = {"sdp": offer, "candidates": told, "client": client}
        if negotiated is not None:
            body["dcid"] = negotiated
        body |= {name: value for name, value in asdict(setup).items() if value is not None}
        answer = await self._request("POST", "/v1/sessions", body, headers)
        if answer.status == 201 and (session := _session(answer.body)) is not None:
            return session
        if answer.status == 503:
            raise BusyError(f"{self._url} is full", retry_after(answer.headers))
        if answer.status == 429:
            _, message = code_and_message(answer.body)
            raise CrowdError(message, retry_after(answer.headers))
        if answer.status in _OFFER_IS_BAD:
            raise OfferRejectedError(*code_and_message(answer.body))
        raise CallBrokeError(f"{self._url}/v1/sessions answered {answer.status} without a session")

    async def delete(self, session_id: str, *, kept: bool = False) -> dict[str, Any]:
        """End a session and return its final statistics.

        Args:
            session_id: Which.
            kept: Whether its conversation goes on in another one.

        Raises:
            SessionNotFoundError: There is no such session.
            CallBrokeError: The transceiver failed on it.
            UnreachableError: The transceiver did not answer in time.
        """
        path = f"/v1/sessions/{session_id}"
        answer = await self._request("DELETE", f"{path}?keep=true" if kept else path)
        if answer.status == 404:
            raise SessionNotFoundError(f"{self._url} has no session {session_id}")
        if answer.status != 200:
            raise CallBrokeError(f"{self._url}/v1/sessions/{session_id} answered {answer.status}")
        return answer.body

    async def restart(
        self,
        session_id: str,
        match: Sequence[str] | None,
        credentials: tuple[str, str] | None,
    ) -> IceSession:
        """Restart the ICE of a session, if the client's credentials are new.

        Args:
            session_id: The session.
            match: Names of ICE sessions, one of which must be that of now; None if any will do.
            credentials: The client's ufrag and password, if it has told them.

        Raises:
            SessionNotFoundError: There is no such session.
            StaleError: None of `match` is of now.
            OfferRejectedError: It cannot be restarted so.
            CallBrokeError: The transceiver failed on it.
            UnreachableError: The transceiver did not answer in time.
        """
        ufrag, password = credentials or (None, None)
        path = f"/v1/sessions/{session_id}/restart"
        named = None if match is None else list(match)
        body = {"match": named, "ufrag": ufrag, "password": password}
        answer = await self._request("POST", path, body)
        name, fragment = answer.body.get("ice_session"), answer.body.get("fragment")
        if answer.status == 200 and isinstance(name, str) and isinstance(fragment, str | None):
            return IceSession(name, fragment)
        if answer.status == 404:
            raise SessionNotFoundError(f"{self._url} has no session {session_id}")
        if answer.status == 412:
            raise StaleError(f"{self._url}{path}: ICE was restarted")
        if answer.status in _OFFER_IS_BAD:
            raise OfferRejectedError(*code_and_message(answer.body))
        raise CallBrokeError(f"{self._url}{path} answered {answer.status}")

    async def models(self, principal: str | None) -> list[dict[str, Any]]:
        """The models that somebody may ask the transceiver for; none where it does not answer."""
        query = urlencode({} if principal is None else {"principal": principal})
        try:
            answer = await self._request("GET", f"/v1/models?{query}" if query else "/v1/models")
        except UnreachableError:
            return []
        listed = answer.body.get("data") if answer.status == 200 else None
        return [
            {"id": each["id"], "object": "model", "owned_by": str(each.get("owned_by", "icelane"))}
            for each in (listed if isinstance(listed, list) else [])[:MAX_MODELS]
            if isinstance(each, dict) and isinstance(each.get("id"), str)
        ]

    async def sessions(self, principal: str) -> list[dict[str, Any]]:
        """The statistics of a principal's sessions; none where the transceiver does not answer."""
        try:
            answer = await self._request(
                "GET", f"/v1/sessions?{urlencode({'principal': principal})}"
            )
        except UnreachableError:
            return []
        listed = answer.body.get("sessions") if answer.status == 200 else None
        return [
            each
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, dict)
            and each.get("principal") == principal
            and is_session_id(str(each.get("id")))
        ]

    async def events(self, session_id: str) -> aiohttp.ClientWebSocketResponse:
        """Open the WebSocket beside a session, on which its events are.

        Raises:
            SessionNotFoundError: There is no such session.
            CallBrokeError: The transceiver failed on it.
            UnreachableError: The transceiver did not answer in time.
        """
        try:
            return await self._websocket(f"/v1/sessions/{session_id}/events", {})
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 404:
                raise SessionNotFoundError(f"{self._url} has no session {session_id}") from None
            raise CallBrokeError(f"{self._url}: {error.status} for a sideband") from None

    async def converse(
        self, setup: Setup, *, transcribes: bool = False
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a session that is a WebSocket alone.

        Args:
            setup: What is to answer, for whom, and which conversation it goes on with.
            transcribes: Whether it is a session of transcription.

        Raises:
            ModelRejectedError: Nothing answers to that name.
            BusyError: The transceiver is full.
            CallBrokeError: The transceiver failed on it.
            UnreachableError: It did not answer in time.
        """
        query = {
            "model": setup.model,
            "principal": setup.principal,
            "intent": "transcription" if transcribes else None,
        }
        headers = {_RESUME: setup.resume, _KEEP: setup.keep}
        try:
            return await self._websocket("/v1/realtime", _given(query), _given(headers))
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (400, 403, 404):
                raise ModelRejectedError(f"{self._url} has no model {setup.model!r}") from None
            if error.status in (429, 503):
                wait = retry_after(error.headers or {})
                raise BusyError(f"{self._url} is full", wait) from None
            raise CallBrokeError(f"{self._url}: {error.status} for a session") from None

    async def _websocket(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket of the control API; a refusal is aiohttp's error, with its status."""
        try:
            async with asyncio.timeout(self._timeout.total):
                return await self._http.ws_connect(
                    self._url + path,
                    params=query,
                    headers=headers,
                    heartbeat=HEARTBEAT,
                    max_msg_size=MAX_MESSAGE,
                    compress=0,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSING),
                )
        except TimeoutError:
            raise SlowError(
                f"{self._url}{path} did not answer within {self._timeout.total} s"
            ) from None
        except aiohttp.WSServerHandshakeError:
            raise
        except (aiohttp.ClientError, ValueError) as error:
            raise UnreachableError(f"{self._url}{path}: {error}") from None

    async def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> _Answer:
        try:
            async with self._http.request(
                method,
                self._url + path,
                json=body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                raw = await _read(response.content)
                answer = _Answer(response.status, json_object(raw), response.headers)
        except TimeoutError:
            raise SlowError(
                f"{self._url}{path} did not answer within {self._timeout.total} s"
            ) from None
        except (aiohttp.ClientError, ValueError) as error:  # ValueError: headers that are none
            raise UnreachableError(f"{self._url}{path}: {error}") from None
        load = Load.read(json_object(answer.headers.get(LOAD, "").encode()))
        if load is not None:
            self._report(load)
        return answer


async def _read(content: aiohttp.StreamReader) -> bytes:
    """The body of an answer; an empty one in place of one that is too long."""
    raw = bytearray()
    async for chunk in content.iter_any():
        raw += chunk
        if len(raw) > MAX_ANSWER:
            return b""
    return bytes(raw)


def _session(body: dict[str, Any]) -> Session | None:
    session_id, sdp = body.get("id"), body.get("sdp")
    if not isinstance(session_id, str) or not is_session_id(session_id):
        return None
    if not isinstance(sdp, str) or not is_utf8(sdp):
        return None
    return Session(session_id, sdp)


def _given(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}
