"""A live call goes on sounding, whatever its client sends in it or others offer meanwhile.

Each test has a transceiver and signaling as processes, calls that are fuzzed and one that is not.
``ICELANE_FUZZ_SECONDS`` makes it longer than 3 s (`make test` has 15), ``ICELANE_FUZZ_SEED`` makes
other junk and ``ICELANE_FUZZ_KINDS`` names the kinds, such as ``rtp,rtcp``. What a transceiver once
failed on is kept in ``corpus/live.jsonl``, an item in each line.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from random import Random

import aiohttp
import pytest

from signaling.callid import CALLS
from tests.lab import mutations
from tests.lab.mutations import KINDS, Item
from tests.lab.pair import Services, serving
from tests.lab.thinclient import ThinClient, new_identity
from tests.lab.thinsctp import DCEP, open_channel
from tests.lab.tone import loudness, tone
from tests.transceiver.sdp.samples import REAL
from tests.transceiver.sdp.test_fuzz import CHANGES, ODD

SECONDS = float(os.environ.get("ICELANE_FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("ICELANE_FUZZ_SEED", "13"))
KINDS_HERE = os.environ.get("ICELANE_FUZZ_KINDS", ",".join(KINDS)).split(",")
CORPUS = Path(__file__).parent / "corpus" / "live.jsonl"
PACE = 0.02  # seconds of a packet
EACH = 8  # items between two packets of audio
CLEAN = 1.5  # seconds of audio alone, after all
LOUD = 1000.0  # RMS; the tone has 5,600
PATIENCE = 10.0  # seconds
TONE = tone()
# What a log says when something broke; a sentence for a client is none.
_BROKEN = re.compile(r"^.*(?:Traceback| ERROR |CRITICAL).*$", re.MULTILINE)


class Talk:
    """A call whose client sends a tone all the time.

    Attributes:
        client: The client.
        refused: Items that libsrtp would not encrypt.
        sent: How many items there were.
        spoken: How many packets of the tone it has sent.
    """

    def __init__(self, client: ThinClient, url: str, path: str) -> None:
        self.client = client
        self.refused = 0
        self.sent = 0
        self.url, self.path = url, path
        self.spoken = 0

    async def speak(self, seconds: float, items: Iterable[Item] = ()) -> None:
        """Send the tone for so long, and between its packets a few of these items."""
        loop, junk = asyncio.get_running_loop(), iter(items)
        began, packets = loop.time(), 0
        while loop.time() < began + seconds:
            self.client.speak(TONE[self.spoken % len(TONE)])
            self.spoken, packets = self.spoken + 1, packets + 1
            for item in islice(junk, EACH):
                self._send(item)
            await asyncio.sleep(max(0.0, began + packets * PACE - loop.time()))

    def _send(self, item: Item) -> None:
        self.sent += 1
        self.refused += not mutations.send(item, self.client)

    async def must_sound(self, whose: str) -> str:
        """Speak alone for a while: nothing to say if most of it comes back, and loud."""
        self.client.heard.last.clear()
        before = self.client.heard.rtp
        await self.speak(CLEAN)
        came = self.client.heard.rtp - before
        loud = [each > LOUD for each in loudness(self.client.heard.last)[-25:]]
        if came > CLEAN / PACE * 0.7 and sum(loud) >= 20:
            return ""
        return f"{whose} call: {came} packets in {CLEAN} s, {sum(loud)} of the last 25 are loud"


class Stage:
    """Both services and what tests do with them."""

    def __init__(self, services: Services, http: aiohttp.ClientSession) -> None:
        self.services = services
        self.http = http
        self._identity = new_identity()
        self._talks: list[Talk] = []

    async def call(self, seed: int) -> Talk:
        """A call that sounds."""
        client = ThinClient(self._identity, Random(seed), data=True)
        headers = {"Content-Type": "application/sdp"}
        url = self.services.url + CALLS
        async with self.http.post(url, data=client.offer, headers=headers) as response:
            answer = await response.text()
            assert response.status == 201, answer
            talk = Talk(client, self.services.url, response.headers["Location"])
        self._talks.append(talk)
        await client.connect(answer)
        async with asyncio.timeout(PATIENCE):
            while client.heard.rtp < 10:
                await talk.speak(0.1)
        return talk

    def broken(self) -> list[str]:
        """What the logs say that no log should."""
        both = (self.services.transceiver, self.services.signaling)
        logs = [each.log.read_text("utf-8") for each in both]
        return [line for log in logs for line in _BROKEN.findall(log)]

    def close(self) -> None:
        for talk in self._talks:
            talk.client.close(goodbye=True)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with _stage() as made:
        yield made


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    async with serving(capacity=40) as services, aiohttp.ClientSession() as http:
        made = Stage(services, http)
        try:
            yield made
        finally:
            made.close()
            print(services.transceiver.log.read_text("utf-8")[-4000:])  # noqa: T201  # if it fails


async def fuzz(stage: Stage, items: dict[str, list[Item]], seconds: float) -> list[Talk]:
    """Send items, a call for each kind, while another one talks; all must sound afterwards.

    The kinds come one after the other, as a machine that is busy with all of them would have no
    time for the other call.
    """
    witness = await stage.call(1)
    fuzzed = [await stage.call(number) for number, _ in enumerate(items, 2)]
    for talk in fuzzed:
        await talk.client.sctp.associate()
        talk.client.sctp.say(0, DCEP, open_channel(b"oai-events"))
    before, spoken = witness.client.heard.rtp, witness.spoken
    for talk, each in zip(fuzzed, items.values(), strict=True):
        share = seconds / len(items)
        await asyncio.gather(witness.speak(share), talk.speak(share, each))
    came, spoken = witness.client.heard.rtp - before, witness.spoken - spoken
    names = [f"the {kind}" for kind in items]
    sounding = [talk.must_sound(name) for talk, name in zip(fuzzed, names, strict=True)]
    said = await asyncio.gather(witness.must_sound("another"), *sounding)
    assert "; ".join(filter(None, said)) == ""
    assert came > spoken * 0.7, f"the other call got {came} packets for {spoken} meanwhile"
    assert stage.broken() == []
    return fuzzed


async def test_calls_go_on_whatever_their_clients_send(stage: Stage) -> None:
    count = int(SECONDS / len(KINDS_HERE) / PACE) * EACH
    items = {}
    for kind in KINDS_HERE:
        random = Random(f"{SEED} {kind}")
        items[kind] = [KINDS[kind](random) for _ in range(count)]
    for talk in await fuzz(stage, items, SECONDS):
        assert talk.refused < talk.sent / 2


async def test_a_call_goes_on_after_all_that_once_ended_one(stage: Stage) -> None:
    items = [Item.load(line) for line in CORPUS.read_text("ascii").splitlines()]
    seconds = 0.5 + len(items) * PACE / EACH
    (talk,) = await fuzz(stage, {"corpus": items}, seconds)
    assert talk.sent == len(items)


def an_offer(random: Random) -> str:
    """A real client's offer, of which a few lines are left out, doubled, cut, moved or made odd."""
    lines = random.choice(list(REAL.values())).splitlines()
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        at = random.randrange(len(lines))
        change = random.choice([*CHANGES, "odd", "swapped"])
        if change == "odd":
            name, colon, _ = lines[at].partition(":")
            lines[at] = f"{name}{colon}{random.choice(ODD)}"
        elif change == "swapped":
            other = random.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines = CHANGES[change](lines, at) or lines
    return "\r\n".join([*lines, ""])


async def test_calls_go_on_whatever_others_offer_meanwhile(stage: Stage) -> None:
    talk, random = await stage.call(1), Random(SEED)
    statuses: list[int] = []

    async def offer() -> None:
        ends = asyncio.get_running_loop().time() + SECONDS
        while asyncio.get_running_loop().time() < ends:
            body = an_offer(random).encode(errors="surrogatepass")
            path = await _offered(stage, body, statuses)
            if path is not None:
                await stage.http.post(f"{stage.services.url}{path}/hangup")

    before, spoken = talk.client.heard.rtp, talk.spoken
    await asyncio.gather(talk.speak(SECONDS), *(offer() for _ in range(3)))
    assert talk.client.heard.rtp - before > (talk.spoken - spoken) * 0.7
    assert await talk.must_sound("the") == ""
    assert set(statuses) <= {201, 400, 413, 429}
    assert {201, 400} <= set(statuses)
    assert stage.broken() == []


async def _offered(stage: Stage, body: bytes, statuses: list[int]) -> str | None:
    headers = {"Content-Type": "application/sdp"}
    url = stage.services.url + CALLS
    async with stage.http.post(url, data=body, headers=headers) as response:
        statuses.append(response.status)
        told = await response.text()
        assert response.status < 500, f"{told}\n{body!r}"
        return response.headers["Location"] if response.status == 201 else None
