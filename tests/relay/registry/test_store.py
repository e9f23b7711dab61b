"""The registry's commands against a real Redis."""

import asyncio
import json

import pytest

from relay.registry.entry import Heartbeat
from relay.registry.store import RegistryAwayError, RegistryStore, SlotTakenError
from tests.ports import free_port
from tests.relay.conftest import RedisServer
from tests.relay.registry.conftest import KEYS, OTHER, OWNER, relay, transceiver

CLAIMS, ENTRIES = "icelane:registry:{1}:claims", "icelane:registry:{1}:entries"


def store(server: RedisServer) -> RegistryStore:
    return RegistryStore(server.url, KEYS)


def age_claim(server: RedisServer, slot: int, seconds: int) -> None:
    """Make a claim older than it is."""
    client = server.client()
    ms, _, rest = text_of(server, CLAIMS, f"slot:{slot}").partition(" ")
    client.hset(CLAIMS, f"slot:{slot}", f"{int(ms) - seconds * 1000} {rest}")


def text_of(server: RedisServer, key: str, field: str) -> str:
    value = server.client().hget(key, field)
    assert isinstance(value, bytes)
    return value.decode()


class TestClaim:
    async def test_a_free_slot_is_had_with_the_first_generation(
        self, redis_server: RedisServer
    ) -> None:
        async with store(redis_server) as mine:
            claimed = await mine.claim(1, OWNER, slot=7, exact=False, first=40)
        assert str(claimed) == "1/7.40"

    @pytest.mark.parametrize("exact", [False, True])
    async def test_whoever_comes_back_has_his_slot_with_a_new_generation(
        self, redis_server: RedisServer, exact: bool
    ) -> None:
        async with store(redis_server) as mine:
            for expected in (255, 0, 1):
                claimed = await mine.claim(1, OWNER, slot=7, exact=exact, first=255)
                assert str(claimed) == f"1/7.{expected}"

    async def test_whoever_has_one_keeps_it_whichever_he_would_begin_at(
        self, redis_server: RedisServer
    ) -> None:
        async with store(redis_server) as mine:
            await mine.claim(1, OWNER, slot=7, exact=False, first=1)
            assert str(await mine.claim(1, OWNER, slot=9, exact=False, first=1)) == "1/7.2"

    async def test_any_slot_is_one_that_nobody_has_and_the_last_is_followed_by_the_first(
        self, redis_server: RedisServer
    ) -> None:
        last = (1 << 24) - 1
        async with store(redis_server) as mine:
            first = await mine.claim(1, OWNER, slot=last, exact=False, first=1)
            second = await mine.claim(1, OTHER, slot=last, exact=False, first=1)
        assert (first.slot, second.slot) == (last, 1)

    async def test_a_certain_slot_of_somebody_alive_is_refused_in_words(
        self, redis_server: RedisServer
    ) -> None:
        async with store(redis_server) as mine:
            await mine.claim(1, OWNER, slot=7, exact=True, first=1)
            with pytest.raises(SlotTakenError, match=r"slot 7 of cluster 1 is that of 10\.0\.0\.2"):
                await mine.claim(1, OTHER, slot=7, exact=True, first=1)

    async def test_a_certain_slot_of_somebody_silent_is_had_with_a_new_generation(
        self, redis_server: RedisServer
    ) -> None:
        async with store(redis_server) as mine:
            await mine.claim(1, OWNER, slot=7, exact=True, first=1)
            age_claim(redis_server, 7, 16)
            assert str(await mine.claim(1, OTHER, slot=7, exact=True, first=1)) == "1/7.2"

    async def test_any_slot_is_never_that_of_one_who_may_only_be_cut_off(
        self, redis_server: RedisServer
    ) -> None:
        async with store(redis_server) as mine:
            await mine.claim(1, OWNER, slot=7, exact=False, first=1)
            age_claim(redis_server, 7, 3600)
            assert (await mine.claim(1, OTHER, slot=7, exact=False, first=1)).slot == 8
            age_claim(redis_server, 7, 24 * 3600)
            third = await mine.claim(1, "10.0.0.4:5000", slot=7, exact=False, first=1)
            assert str(third) == "1/7.2"

    @pytest.mark.parametrize("ahead", [25 * 3600, 10**9])
    async def test_a_clock_that_was_put_back_keeps_no_slot_from_others(
        self, redis_server: RedisServer, ahead: int
    ) -> None:
        async with store(redis_server) as mine:
            await mine.claim(1, OWNER, slot=7, exact=False, first=1)
            age_claim(redis_server, 7, -ahead)
            assert str(await mine.claim(1, OTHER, slot=7, exact=False, first=1)) == "1/7.2"

    async def test_a_slot_of_a_time_without_end_is_had(self, redis_server: RedisServer) -> None:
        redis_server.client().hset(CLAIMS, "slot:7", b"9" * 400 + b" 5 " + OTHER.encode())
        async with store(redis_server) as mine:
            assert str(await mine.claim(1, OWNER, slot=7, exact=True, first=3)) == "1/7.6"

    async def test_an_owner_that_is_no_text_is_told_as_far_as_it_is(
        self, redis_server: RedisServer
    ) -> None:
        client = redis_server.client()
        async with store(redis_server) as mine:
            await mine.claim(1, OTHER, slot=7, exact=True, first=5)
            claimed = text_of(redis_server, CLAIMS, "slot:7").encode()
            client.hset(CLAIMS, "slot:7", claimed.replace(OTHER.encode(), b"\xff:5000"))
            with pytest.raises(SlotTakenError, match="is that of \ufffd:5000, which is alive"):
                await mine.claim(1, OWNER, slot=7, exact=True, first=1)

    async def test_a_claim_that_cannot_be_counted_on_is_made_anew_at_the_next_try(
        self, redis_server: RedisServer
    ) -> None:
        redis_server.client().hset(CLAIMS, "slot:7", b"1 " + b"9" * 400 + b" 10.0.0.3:5000")
        async with store(redis_server) as mine:
            with pytest.raises(RegistryAwayError, match="slot 7 of cluster 1 was malformed"):
                await mine.claim(1, OWNER, slot=7, exact=True, first=3)
            assert str(await mine.claim(1, OWNER, slot=7, exact=True, first=3)) == "1/7.3"

    async def test_many_at_once_get_a_slot_each(self, redis_server: RedisServer) -> None:
        async with store(redis_server) as mine:
            claims = (
                mine.claim(1, f"10.0.0.2:{port}", slot=7, exact=False, first=1)
                for port in range(1, 51)
            )
            claimed = await asyncio.gather(*claims)
        assert sorted(each.slot for each in claimed) == list(range(7, 57))

    async def test_clusters_know_nothing_of_each_other(self, redis_server: RedisServer) -> None:
        async with store(redis_server) as mine:
            await mine.claim(1, OWNER, slot=7, exact=True, first=1)
            assert str(await mine.claim(2, OTHER, slot=7, exact=True, first=1)) == "2/7.1"


class TestAnnounce:
    async def test_an_entry_is_a_line_that_a_person_can_read(
        self, redis_server: RedisServer
    ) -> None:
        async with store(redis_server) as mine:
            assert await mine.announce(Heartbeat(relay(), 1))
            ((line, age),) = await mine.read(1)
        _, _, text = text_of(redis_server, ENTRIES, "relay:fra-1").split(" ", 2)
        assert json.loads(text)["vips"][0]["vip"] == "203.0.113.10:3478"
        assert Heartbeat.parse(line, 1, KEYS) == Heartbeat(relay(), 1)
        assert 0 <= age < 5

    async def test_it_keeps_the_slot_and_restores_it_where_redis_has_lost_it(
        self, redis_server: RedisServer
    ) -> None:
        async with store(redis_server) as mine:
            claimed = await mine.claim(1, OWNER, slot=7, exact=True, first=3)
            redis_server.client().flushall()
            assert await mine.announce(Heartbeat(transceiver(), 1), OWNER)
            with pytest.raises(SlotTakenError):
                await mine.claim(1, OTHER, slot=claimed.slot, exact=True, first=1)

    @pytest.mark.parametrize("owner", [OTHER, OWNER])
    async def test_whoever_has_lost_his_slot_writes_nothing(
        self, redis_server: RedisServer, owner: str
    ) -> None:
        async with store(redis_server) as mine:
            await mine.claim(1, OWNER, slot=7, exact=True, first=3)
            age_claim(redis_server, 7, 16)
            await mine.claim(1, owner, slot=7, exact=True, first=3)
            assert not await mine.announce(Heartbeat(transceiver(generation=3), 1), OWNER)
            assert await mine.read(1) == []

    @pytest.mark.parametrize(
        "odd",
        [b"9" * 400 + b" x", b"9" * 5000 + b" x", b"x", b"", b" ", b"-1 x", b"1e9 x", b"\xb2 x"],
    )
    async def test_an_odd_field_costs_only_itself(
        self, redis_server: RedisServer, odd: bytes
    ) -> None:
        redis_server.client().hset(ENTRIES, "relay:odd", odd)
        async with store(redis_server) as mine:
            await mine.announce(Heartbeat(relay(), 1))
            ((line, _),) = await mine.read(1)
        assert Heartbeat.parse(line, 1, KEYS).entry == relay()

    async def test_functions_of_the_release_before_stay_beside_them(
        self, redis_server: RedisServer
    ) -> None:
        """Its members share the server while the next one is rolled out."""
        client = redis_server.client()
        before = "redis.register_function('icelane_read', function() return 'as before' end)"
        client.function_load(f"#!lua name=icelane\n{before}")
        async with store(redis_server) as mine:
            await mine.announce(Heartbeat(relay(), 1))
            assert len(await mine.read(1)) == 1
        assert client.fcall("icelane_read", 0) == b"as before"

    @pytest.mark.parametrize("ahead", [600, -600])
    async def test_an_entry_is_as_old_as_its_time_is_far(
        self, redis_server: RedisServer, ahead: int
    ) -> None:
        async with store(redis_server) as mine:
            await mine.announce(Heartbeat(relay(), 1))
            ms, _, line = text_of(redis_server, ENTRIES, "relay:fra-1").partition(" ")
            redis_server.client().hset(ENTRIES, "relay:fra-1", f"{int(ms) + ahead * 1000} {line}")
            ((_, age),) = await mine.read(1)
        assert 540 < age < 660

    async def test_what_was_withdrawn_is_gone(self, redis_server: RedisServer) -> None:
        async with store(redis_server) as mine:
            await mine.announce(Heartbeat(relay(), 1))
            await mine.withdraw(Heartbeat(relay(), 2, gone=True))
            assert await mine.read(1) == []

    @pytest.mark.parametrize("swept", [0, 9_999_999_999_999])
    @pytest.mark.parametrize("old", [1, 9_999_999_999_999])
    async def test_the_silent_are_swept_out_and_their_slots_after_a_day(
        self, redis_server: RedisServer, old: int, swept: int
    ) -> None:
        client = redis_server.client()
        async with store(redis_server) as mine:
            await mine.claim(1, OTHER, slot=8, exact=True, first=1)
            age_claim(redis_server, 8, 25 * 3600)
            await mine.announce(Heartbeat(relay("old"), 1))
            client.hset(ENTRIES, "relay:old", f"{old} at no time of this clock")
            for name in (CLAIMS, ENTRIES):
                client.hset(name, "swept", swept)
            await mine.announce(Heartbeat(transceiver(), 1), OWNER)
        assert set(client.hkeys(ENTRIES)) == {b"transceiver:7", b"swept"}
        assert {b"slot:7", b"swept"} < set(client.hkeys(CLAIMS))
        assert not {b"slot:8", b"owner:" + OTHER.encode()} & set(client.hkeys(CLAIMS))


class TestListening:
    async def test_what_is_announced_is_heard(self, redis_server: RedisServer) -> None:
        async with store(redis_server) as mine, mine.listening([1, 2]) as heard:
            await mine.announce(Heartbeat(relay(), 1))
            cluster, line = await asyncio.wait_for(anext(heard), 5)
        assert (cluster, Heartbeat.parse(line, 1, KEYS).entry) == (1, relay())

    async def test_the_end_of_redis_is_told(self, redis_server: RedisServer) -> None:
        async with store(redis_server) as mine, mine.listening([1]) as heard:
            redis_server.stop()
            with pytest.raises(RegistryAwayError):
                await asyncio.wait_for(anext(heard), 10)


class TestAway:
    async def test_without_redis_it_is_told_soon(self, redis_server: RedisServer) -> None:
        redis_server.stop()
        async with store(redis_server) as mine:
            with pytest.raises(RegistryAwayError):
                await mine.read(1)

    async def test_a_wrong_password_is_told(self, redis_server: RedisServer) -> None:
        async with store(redis_server) as mine:
            await mine.read(1)
            redis_server.client().config_set("requirepass", "secret")
        async with RegistryStore(redis_server.url + "?password=wrong", KEYS) as other:
            with pytest.raises(RegistryAwayError, match=r"username-password pair|WRONGPASS"):
                await other.read(1)

    async def test_a_cluster_of_which_nobody_answers_is_told(self) -> None:
        async with RegistryStore(f"redis+cluster://127.0.0.1:{free_port()}", KEYS) as mine:
            with pytest.raises(RegistryAwayError):
                await mine.read(1)

    async def test_a_server_that_is_full_takes_a_fleet_all_the_same(
        self, redis_server: RedisServer
    ) -> None:
        async with store(redis_server) as mine:
            await mine.read(1)
            redis_server.client().config_set("maxmemory", 1)
            target = await mine.claim(1, OWNER, slot=7, exact=True, first=3)
            mine_is = Heartbeat(transceiver(7, target.generation), 1)
            assert await mine.announce(mine_is, OWNER)
            assert len(await mine.read(1)) == 1
            await mine.withdraw(mine_is)
            assert await mine.read(1) == []

    async def test_junk_in_place_of_the_registry_is_told(self, redis_server: RedisServer) -> None:
        redis_server.client().set(ENTRIES, "junk")
        async with store(redis_server) as mine:
            with pytest.raises(RegistryAwayError, match=r"WRONGTYPE|wrong kind"):
                await mine.read(1)
