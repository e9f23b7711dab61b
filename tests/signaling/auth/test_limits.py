from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.auth.apikeys import Quota
from signaling.auth.limits import (
    ALL_BURST,
    CLIENT_BURST,
    CLIENT_FAILURES,
    MAX_CLIENTS,
    Failures,
    Quotas,
    TokenBucket,
)
from signaling.errors import QuotaError


class TestTokenBucket:
    @given(
        st.floats(0.1, 100), st.floats(1, 50), st.lists(st.floats(0, 10), min_size=1, max_size=200)
    )
    def test_never_more_passes_than_the_rate_and_the_burst(
        self, rate: float, burst: float, pauses: list[float]
    ) -> None:
        bucket, now, passed = TokenBucket(rate, burst, 0.0), 0.0, 0
        for pause in pauses:
            now += pause
            if bucket.wait(now) == 0.0:
                bucket.take(now)
                passed += 1
        assert passed <= burst + rate * now + 1e-6

    def test_who_waits_as_long_as_he_is_told_passes(self) -> None:
        bucket, now = TokenBucket(2.0, 3.0, 0.0), 0.0
        for _ in range(10):
            now += bucket.wait(now)
            assert bucket.wait(now) == pytest.approx(0.0, abs=1e-9)
            bucket.take(now)
        assert now == pytest.approx(3.5)

    def test_a_clock_that_stands_or_goes_back_gives_nothing(self) -> None:
        bucket = TokenBucket(1.0, 1.0, 100.0)
        bucket.take(100.0)
        assert bucket.wait(0.0) == pytest.approx(1.0)
        assert bucket.wait(101.0) == 0.0


class TestQuotas:
    def test_set_ups_a_second(self) -> None:
        quotas, quota = Quotas(), Quota(setups=2.0)
        for _ in range(2):
            quotas.begin("alice", quota, 0.0)
        with pytest.raises(QuotaError, match="2 calls may be begun a second") as raised:
            quotas.begin("alice", quota, 0.0)
        assert (raised.value.code, raised.value.retry_after) == ("rate_limit_exceeded", 0.5)
        quotas.begin("bob", quota, 0.0)
        quotas.begin("alice", quota, 0.5)

    def test_requests_a_second_are_counted_apart_from_set_ups(self) -> None:
        quotas, quota = Quotas(), Quota(setups=1.0, requests=2.0)
        quotas.ask("alice", quota, 0.0)
        quotas.begin("alice", quota, 0.0)
        quotas.ask("alice", quota, 0.0)
        with pytest.raises(QuotaError, match="2 requests may be made a second"):
            quotas.ask("alice", quota, 0.0)
        quotas.ask("alice", Quota(), 0.0)

    def test_a_changed_quota_counts_at_once(self) -> None:
        quotas = Quotas()
        quotas.begin("alice", Quota(setups=0.1), 0.0)
        with pytest.raises(QuotaError):
            quotas.begin("alice", Quota(setups=0.1), 0.0)
        quotas.begin("alice", Quota(setups=5.0), 0.0)
        for _ in range(100):
            quotas.begin("alice", Quota(), 0.0)

    def test_calls_at_a_time_count_those_that_are_being_placed(self) -> None:
        quotas, quota = Quotas(), Quota(calls=3)
        with quotas.placing("alice"), quotas.placing("alice"):
            quotas.require_room("alice", quota, calls=1)
            with pytest.raises(QuotaError, match="3 calls may be had at a time: end one") as raised:
                quotas.require_room("alice", quota, calls=2)
            assert raised.value.code == "too_many_calls"
            quotas.require_room("alice", Quota(), calls=1000)
        with quotas.placing("alice"):
            quotas.require_room("alice", quota, calls=2)

    def test_what_fails_is_not_being_placed_any_more(self) -> None:
        quotas = Quotas()
        for _ in range(5):
            with pytest.raises(ZeroDivisionError), quotas.placing("alice"):
                raise ZeroDivisionError
        with quotas.placing("alice"):
            quotas.require_room("alice", Quota(calls=1), calls=0)


class TestFailures:
    def test_who_only_fails_is_not_listened_to_and_others_are(self) -> None:
        failures, count = Failures(0.0), 0
        while failures.wait("bad", 0.0) == 0.0:
            failures.note("bad", 0.0)
            count += 1
        assert count == CLIENT_BURST
        assert failures.wait("good", 0.0) == 0.0
        assert failures.wait("bad", 1 / CLIENT_FAILURES) == 0.0

    def test_many_who_fail_are_held_together_and_never_who_has_not_failed(self) -> None:
        failures = Failures(0.0)
        for number in range(int(ALL_BURST)):
            failures.note(f"bad{number}", 0.0)
        assert failures.wait("bad7", 0.0) > 0.0
        assert failures.wait("good", 0.0) == 0.0

    def test_what_is_long_ago_is_forgotten(self) -> None:
        failures = Failures(0.0)
        failures.note("bad", 0.0)
        assert failures.wait("bad", 60.0) == 0.0
        assert len(failures) == 0

    def test_no_more_are_remembered_than_there_is_room_for(self) -> None:
        failures = Failures(0.0)
        for number in range(MAX_CLIENTS + 10):
            failures.note(f"bad{number}", 0.0)
        assert len(failures) == MAX_CLIENTS

    @given(st.lists(st.floats(0, 0.2), min_size=1, max_size=500))
    def test_a_wait_never_grows_by_waiting(self, pauses: list[float]) -> None:
        failures, now = Failures(0.0), 0.0
        for pause in pauses:
            now += pause
            failures.note("bad", now)
        waits = [failures.wait("bad", now + step / 10) for step in range(20)]
        assert all(later <= earlier for earlier, later in pairwise(waits))
