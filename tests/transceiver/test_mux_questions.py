"""Who answers a relay that asks where a client is."""

import asyncio

import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.question import Answer, Question
from relay.wire.route import read_ufrag
from relay.wire.transport import Transport
from tests.transceiver.muxbench import CLIENT, STRANGER, VIP, Bench, Check, Until, exchange
from transceiver.ice import ADDRESS_KEPT
from transceiver.mux import MOST_QUESTIONS


class Asking:
    """A session whose client is behind a relay, and another relay that asks for him."""

    def __init__(self, bench: Bench, check: Check) -> None:
        self.bench = bench
        self.session = bench.session()
        self.relay, self.asker = bench.socket(), bench.socket()
        self._check = check

    async def connect(self, transport: Transport = Transport.UDP, epoch: int = 1) -> None:
        route = self.bench.route()
        said = self.bench.announcement(self.relay, route, transport=transport, epoch=epoch)
        self.relay.sendto(said, self.bench.address)
        credentials = self.session.agent.credentials
        await exchange(
            self.relay, self._check(credentials=credentials, nominate=True), self.bench.address
        )

    def question(self, client: Endpoint = CLIENT, vip: Endpoint = VIP) -> bytes:
        asker = Endpoint.of(self.asker.getsockname())
        asked = Question(b"12345678", self.bench.target.cluster, client, vip, asker)
        return asked.serialize(self.bench.keys)

    def ask(self, *args: Endpoint) -> None:
        self.asker.sendto(self.question(*args), self.bench.address)

    async def answer(self) -> Answer:
        loop = asyncio.get_running_loop()
        data = await asyncio.wait_for(loop.sock_recv(self.asker, 2048), 5)
        return Answer.parse(data, self.bench.keys)


@pytest.fixture
def asking(bench: Bench, check: Check) -> Asking:
    return Asking(bench, check)


async def test_who_has_a_client_tells_a_relay_that_asks(bench: Bench, asking: Asking) -> None:
    await asking.connect(epoch=3)
    asking.ask()
    ufrag = asking.session.agent.credentials.ufrag
    upstream = Endpoint.of(asking.relay.getsockname())
    # The route of its ufrag now, by which a take-over finds the session.
    assert await asking.answer() == Answer(b"12345678", read_ufrag(ufrag).raw, 3, upstream)
    assert bench.counted("question_answered") == 1


@pytest.mark.parametrize("why", ["stranger", "vip", "silent", "released", "tcp"])
async def test_who_has_not_is_silent(bench: Bench, asking: Asking, until: Until, why: str) -> None:
    await asking.connect(Transport.TCP if why == "tcp" else Transport.UDP)
    if why == "silent":
        bench.clock.now += ADDRESS_KEPT
    if why == "released":
        bench.mux.release(asking.session)
    asking.ask(STRANGER if why == "stranger" else CLIENT, STRANGER if why == "vip" else VIP)
    await until(lambda: bench.counted("question") == 1)
    assert bench.counted("question_answered") == 0


async def test_a_question_that_is_forged_or_comes_from_elsewhere_is_refused(
    bench: Bench, asking: Asking, until: Until
) -> None:
    await asking.connect()
    question = asking.question()
    asking.relay.sendto(question, bench.address)  # overheard, and sent again
    await until(lambda: bench.counted("question_source") == 1)
    asking.asker.sendto(question[:-1] + bytes([question[-1] ^ 1]), bench.address)
    await until(lambda: bench.counted("question_invalid") == 1)
    assert bench.counted("question_answered") == 0


async def test_questions_are_bounded(bench: Bench, asking: Asking) -> None:
    await asking.connect()
    asker = Endpoint.of(asking.asker.getsockname())
    for _ in range(MOST_QUESTIONS + 5):
        bench.mux.receive(asking.question(STRANGER), asker)
    assert bench.counted("question") == MOST_QUESTIONS
    assert bench.counted("question_limited") == 5
