import aiohttp
import pytest

from signaling.callid import CALLS
from signaling.server import SignalingServer


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", CALLS, 403, "insufficient_permissions"),
        ("PUT", CALLS, 405, "method_not_allowed"),
        ("DELETE", CALLS, 405, "method_not_allowed"),
        ("GET", CALLS + "/rtc_1-5-9-abc", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/favicon.ico", 404, "not_found"),
        ("POST", "/v1/realtime", 405, "method_not_allowed"),
        ("POST", "/v1/realtime/sessions", 404, "not_found"),
        ("POST", CALLS + "/rtc_%2e%2e/hangup", 404, "call_id_not_found"),
        ("POST", CALLS + "/nonsense/hangup", 404, "call_id_not_found"),
        ("DELETE", CALLS + "/nonsense", 404, "call_id_not_found"),
    ],
)
async def test_wrong_ways_get_errors_of_the_same_form(
    *,
    http: aiohttp.ClientSession,
    real_server: SignalingServer,
    method: str,
    path: str,
    status: int,
    code: str,
) -> None:
    async with http.request(method, real_server.url + path) as response:
        assert response.status == status
        assert ("Allow" in response.headers) == (status == 405)
        assert (await response.json())["error"]["code"] == code


@pytest.mark.parametrize(("method", "path"), [("GET", "/healthz"), ("POST", CALLS), ("GET", "/x")])
async def test_every_answer_has_the_headers_that_keep_a_browser_safe(
    http: aiohttp.ClientSession, real_server: SignalingServer, method: str, path: str
) -> None:
    async with http.request(method, real_server.url + path) as response:
        told = response.headers
    assert told["X-Content-Type-Options"] == "nosniff"
    assert told["Referrer-Policy"] == "no-referrer"
    assert told["Cache-Control"] == "no-store"
    assert told["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert told["Server"] == "icelane"


async def test_who_asks_another_route_for_a_websocket_is_answered_by_http(
    http: aiohttp.ClientSession, real_server: SignalingServer
) -> None:
    asks = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with http.get(real_server.url + CALLS, headers=asks) as response:
        assert response.status == 403
