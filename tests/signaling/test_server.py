import asyncio
from random import Random

import aiohttp
import pytest

from relay.config.directory import Directory
from relay.config.registry import Registry
from relay.errors import BindError
from relay.wire.endpoint import Endpoint
from signaling.callid import CALLS
from signaling.client import LOOPBACK
from signaling.server import SignalingServer
from signaling.whip import WHIP
from tests.signaling.conftest import SDP, Serve, place
from transceiver.server import Transceiver


async def test_a_taken_address_is_an_error_and_nothing_stays_behind(
    real_server: SignalingServer,
) -> None:
    taken = Endpoint.parse(real_server.url.removeprefix("http://"))
    before = asyncio.all_tasks()
    with pytest.raises(BindError, match=rf"{taken} for signaling: .* in use; another program"):
        async with SignalingServer(taken, Directory(Registry(())), random=Random(1)):
            pass
    assert asyncio.all_tasks() == before


async def test_a_fault_of_signalings_own_costs_its_request(
    http: aiohttp.ClientSession,
    between_heartbeats: SignalingServer,
    offer: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = between_heartbeats

    async def breaks(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr("signaling.pool.TransceiverPool.place", breaks)
        for _ in range(2):
            async with http.post(server.url + CALLS, data=offer, headers=SDP) as response:
                assert response.status == 500
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                error = (await response.json())["error"]
            assert (error["type"], error["code"]) == ("server_error", "server_error")
    await place(http, server, offer)
    async with http.get(server.url + "/healthz") as response:
        assert (await response.json())["faults"] == {f"POST {CALLS}": 2}
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1


@pytest.mark.parametrize(("trusted", "region"), [(True, "eu-west-1"), (False, None)])
async def test_the_region_that_a_proxy_tells_is_its_calls(
    *,
    http: aiohttp.ClientSession,
    serve: Serve,
    transceiver: Transceiver,
    offer: str,
    trusted: bool,
    region: str | None,
) -> None:
    controls = (transceiver.config.target, f"http://{transceiver.control}")
    door = {"region_header": "X-Region", "proxies": LOOPBACK if trusted else ()}
    headers = {**SDP, "X-Region": "eu-west-1"}
    async with serve(controls, advertise=transceiver.address, **door) as server:
        for path in (CALLS, WHIP):
            async with http.post(server.url + path, data=offer, headers=headers) as response:
                assert response.status == 201
        assert [call.stats()["region"] for call in transceiver.calls] == [region] * 2


async def test_a_region_that_no_header_is_named_for_is_none(
    http: aiohttp.ClientSession, real_server: SignalingServer, transceiver: Transceiver, offer: str
) -> None:
    headers = {**SDP, "X-Region": "eu-west-1"}
    async with http.post(real_server.url + CALLS, data=offer, headers=headers) as response:
        assert response.status == 201
    assert [call.stats()["region"] for call in transceiver.calls] == [None]
