"""Calls are listed to who has made them, and to nobody else."""

import aiohttp

from signaling.callid import CALLS
from signaling.server import SignalingServer
from tests.signaling.conftest import SDP, Keys, Serve
from transceiver.server import Transceiver


async def placed(
    http: aiohttp.ClientSession, server: SignalingServer, offer: str, key: object
) -> str:
    headers = SDP | key if isinstance(key, dict) else SDP
    async with http.post(server.url + CALLS, data=offer, headers=headers) as response:
        assert response.status == 201, await response.text()
        return response.headers["Location"].rpartition("/")[2]


async def test_a_key_is_told_of_its_own_calls(
    http: aiohttp.ClientSession, serve: Serve, transceiver: Transceiver, keys: Keys, offer: str
) -> None:
    alice, bob = keys.add("alice"), keys.add("bob@example.net")
    entry = (transceiver.config.target, f"http://{transceiver.control}")
    async with serve(entry, keys_file=keys.path) as server:
        hers = [await placed(http, server, offer, alice) for _ in range(2)]
        his = await placed(http, server, offer, bob)
        for key, ids in ((alice, hers), (bob, [his])):
            async with http.get(server.url + CALLS, headers=key) as response:
                assert response.status == 200
                listed = (await response.json())["data"]
            assert sorted(each["id"] for each in listed) == sorted(ids)
        (call,) = listed
        assert (call["principal"], call["state"]) == ("bob@example.net", "new")
        assert not {"path", "ufrag", "backend", "audio"} & set(call), "nothing internal"
        async with http.get(server.url + CALLS) as response:
            assert response.status == 401
        url = server.url + "/v1/realtime/client_secrets"
        async with http.post(url, headers=alice, json={}) as response:
            secret = (await response.json())["value"]
        bearer = {"Authorization": f"Bearer {secret}"}
        async with http.get(server.url + CALLS, headers=bearer) as response:
            assert response.status == 403


async def test_where_nobody_has_a_key_nobody_is_told(
    http: aiohttp.ClientSession, real_server: SignalingServer, offer: str
) -> None:
    await placed(http, real_server, offer, None)
    async with http.get(real_server.url + CALLS) as response:
        assert response.status == 403
        assert (await response.json())["error"]["code"] == "insufficient_permissions"
