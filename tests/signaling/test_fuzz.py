"""All routes, as the description has them, with whatever a client may send.

Each answer is one that the description has, none is a 500, and what is refused takes no place.
"""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from relay.wire.route import Target
from signaling.server import SignalingServer
from tests.signaling.conftest import Keys
from tests.signaling.strangers import Asked, assert_is_an_error, credentials, requests, words
from transceiver.server import Transceiver

clients = itertools.count(1)


def url_of(server: SignalingServer, asked: Asked) -> URL:
    return URL(server.url).with_path(asked.made).with_query(asked.query)


def from_anew(headers: dict[str, str]) -> dict[str, str]:
    """Who fails too often is not listened to: each request is of another client."""
    return {**headers, "X-Forwarded-For": f"2001:db8:{next(clients):x}::1"}


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=requests(), more=st.fixed_dictionaries({}, optional={"Authorization": words}))
async def test_whatever_comes_is_answered_as_described(
    real_server: SignalingServer, transceiver: Transceiver, asked: Asked, more: dict[str, str]
) -> None:
    before = len(transceiver.calls)
    url, headers = url_of(real_server, asked), from_anew({**asked.headers, **more})
    async with (
        aiohttp.ClientSession() as http,
        http.request(asked.method, url, headers=headers, data=asked.body) as response,
    ):
        assert response.status in asked.known, await response.text()
        assert response.status not in (500, 504)
        if response.status >= 400 and asked.method != "head":
            assert_is_an_error(await response.json())
        location = response.headers.get("Location")
        if response.status == 201:
            assert location is not None
            async with http.delete(real_server.url + location) as ended:
                assert ended.status == 200
    assert len(transceiver.calls) == before == 0


@pytest.fixture
async def api(control: Any) -> AsyncIterator[Any]:
    async with control().running() as running:
        yield running


@pytest.fixture
async def closed(serve: Any, api: Any, keys: Keys) -> AsyncIterator[SignalingServer]:
    async with serve((Target(1, 5, 9), api.url), keys_file=keys.path) as server:
        yield server


WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=requests(), key=credentials)
@example(
    Asked("get", "/v1/realtime", "/v1/realtime", {}, WEBSOCKET, b""),
    {"Authorization": "Bearer sk-icelane-0"},
)
async def test_without_a_key_no_transceiver_hears_of_anything(
    closed: SignalingServer, api: Any, asked: Asked, key: dict[str, str]
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.request(
            asked.method,
            url_of(closed, asked),
            headers=from_anew({**asked.headers, **key}),
            data=asked.body,
        ) as response,
    ):
        if response.status == 101:  # browsers see of a refusal only what comes after the handshake
            async with http.ws_connect(url_of(closed, asked), headers=from_anew(key)) as socket:
                assert "invalid_request_error" in await socket.receive_str()
        elif not asked.is_open:
            assert response.status in (401, 404, 405), await response.text()
        else:
            assert response.status < 500
    assert (api.offers, api.ended, api.listed, api.talks) == ([], [], 0, 0)
