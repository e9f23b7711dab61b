from typing import Any

import aiohttp
import pytest

from relay.wire.route import Target
from signaling.callid import CALLS
from signaling.server import SignalingServer
from tests.signaling.conftest import place
from transceiver.server import Transceiver


async def test_a_hang_up_ends_a_call_and_says_nothing(
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    transceiver: Transceiver,
    offer: str,
) -> None:
    location = await place(http, real_server, offer)
    for status in (200, 404):
        async with http.post(real_server.url + location + "/hangup") as response:
            assert response.status == status
            body = await response.read()
            assert (body == b"") == (status == 200)
        assert len(transceiver.calls) == 0


async def test_a_deleted_call_is_accounted_for(
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    transceiver: Transceiver,
    offer: str,
) -> None:
    location = await place(http, real_server, offer)
    async with http.delete(real_server.url + location) as response:
        assert response.status == 200
        statistics = await response.json()
    assert statistics["id"] == location.rsplit("/", 1)[1]
    assert statistics["state"] == "ended"
    assert statistics["rtp"] == {"received": 0, "lost": 0, "sent": 0, "lost_by_client": None}
    assert not {"ufrag", "path"} & statistics.keys()
    assert len(transceiver.calls) == 0


@pytest.mark.parametrize("action", ["accept", "reject", "refer"])
async def test_what_is_for_telephones_knows_no_call(
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    transceiver: Transceiver,
    offer: str,
    action: str,
) -> None:
    location = await place(http, real_server, offer)
    async with http.post(f"{real_server.url}{location}/{action}", json={}) as response:
        assert response.status == 404
        error = (await response.json())["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "call_id_not_found")
    assert len(transceiver.calls) == 1


@pytest.mark.parametrize("end", ["DELETE", "POST"])
async def test_a_call_whose_transceiver_is_gone_is_said_to_be(
    http: aiohttp.ClientSession, serve: Any, unused_tcp_port: int, end: str
) -> None:
    async with serve((Target(1, 1, 1), f"http://127.0.0.1:{unused_tcp_port}")) as server:
        url = f"{server.url}{CALLS}/rtc_1-1-1-abc" + ("/hangup" if end == "POST" else "")
        async with http.request(end, url) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "2"
            assert (await response.json())["error"]["code"] == "transceiver_unreachable"
