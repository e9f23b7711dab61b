"""A NAT gives a client another port in the middle of a call."""

import asyncio
from pathlib import Path
from random import Random

import aiohttp
import pytest

from signaling.callid import CALLS
from tests.e2e.serving import serving
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.tone import tone
from tests.signaling.conftest import SDP

pytestmark = pytest.mark.e2e

LIMIT = 20.0  # seconds
PACKET = 0.02  # seconds


async def until_heard(client: ThinClient, packets: int) -> None:
    """Speak until so many more packets have come back."""
    wanted, words = client.heard.rtp + packets, tone(seconds=1.0)
    async with asyncio.timeout(LIMIT):
        while client.heard.rtp < wanted:
            client.speak(words[client.sequence % len(words)])
            await asyncio.sleep(PACKET)


async def test_a_call_is_heard_again_from_the_next_check_on(tmp_path: Path) -> None:
    client = ThinClient(new_identity(), Random(21))
    with serving(tmp_path, "--backend", "echo", tls=False) as served:
        url = served.url.removesuffix("/v1") + CALLS
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=client.offer, headers=SDP) as response,
        ):
            assert response.status == 201, await response.text()
            answer = await response.text()
        await client.connect(answer)
        await until_heard(client, 20)
        await client.rebind()
        before = client.heard.rtp
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(25 * PACKET):
                await until_heard(client, 1)  # media teaches no address
        assert client.heard.rtp == before
        await client.check()
        await until_heard(client, 20)
        assert client.heard.broken == 0
        client.close(goodbye=True)
