import aiohttp
import pytest

from signaling.callid import CALLS
from signaling.openapi import OPENAPI
from signaling.server import SignalingServer
from tests.signaling.conftest import SDP


@pytest.mark.parametrize("path", [CALLS, CALLS + "/rtc_1-5-9-abc/hangup"])
async def test_pages_of_other_origins_may_call(
    http: aiohttp.ClientSession, real_server: SignalingServer, path: str
) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    async with http.options(real_server.url + path, headers=asked) as response:
        assert response.status == 204
        allowed = response.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"Authorization", "Content-Type", "X-OpenAI-Agents-SDK"} <= set(allowed)
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Access-Control-Allow-Origin"] == "*"
    async with http.post(real_server.url + path, data=b"", headers=SDP) as response:
        assert response.status >= 400
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Location" in response.headers["Access-Control-Expose-Headers"].split(", ")


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/healthz", OPENAPI])
async def test_what_anybody_may_get_has_a_head(
    http: aiohttp.ClientSession, real_server: SignalingServer, path: str
) -> None:
    heads = []
    for method in ("GET", "HEAD"):
        async with http.request(method, real_server.url + path) as response:
            assert response.status == 200
            heads.append({k: v for k, v in response.headers.items() if k != "Date"})
            body = await response.read()
            assert (body == b"") == (method == "HEAD")
    assert heads[0] == heads[1]
