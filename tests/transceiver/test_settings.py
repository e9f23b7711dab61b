"""A transceiver's settings: what an operator may write, and what is said when it is wrong."""

from pathlib import Path

import pytest

from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint
from transceiver import DEFAULT_CAPACITY
from transceiver.settings import TransceiverSettings

LEAST = {"listen": "192.0.2.2:5000", "control": "192.0.2.2:9000", "keys": "keys.toml"}


def settings(**options: str) -> TransceiverSettings:
    return TransceiverSettings.load(LEAST | options, tree={"transceiver": TransceiverSettings})


def test_the_least_that_is_needed_and_defaults_for_the_rest() -> None:
    least = settings()
    assert (least.listen, least.control) == (
        Endpoint("192.0.2.2", 5000),
        Endpoint("192.0.2.2", 9000),
    )
    assert least.keys == Path("keys.toml")
    assert (least.cluster, least.slot, least.generation) == (1, None, 1)
    assert least.capacity == DEFAULT_CAPACITY


def test_a_route_holds_every_number_that_is_taken() -> None:
    most = settings(cluster="65535", slot="16777215", generation="255")
    assert (most.cluster, most.slot, most.generation) == (0xFFFF, 0xFFFFFF, 0xFF)
    assert settings(cluster="0", slot="0", generation="0").slot == 0


def test_the_control_api_may_listen_on_all_addresses() -> None:
    assert settings(control="0.0.0.0:9000").control == Endpoint("0.0.0.0", 9000)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("listen", "0.0.0.0:5000", "--listen: 0.0.0.0:5000: name one address, not all of them"),
        ("control", "9000", "--control: '9000' is not a transport address"),
        ("cluster", "65536", "--cluster: must be at most 65535"),
        ("slot", "16777216", "--slot: must be a number from 0 to 16777215, or auto"),
        ("slot", "-1", "--slot: must be a number from 0 to 16777215, or auto"),
        ("generation", "256", "--generation: must be at most 255"),
        ("capacity", "0", "--capacity: must be at least 1"),
        ("workers", "0", "--workers: must be at least 1"),
        ("capacity", "many", "--capacity: must be a whole number"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**{name: value})
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("name", LEAST)
def test_a_transceiver_without_one_of_these_cannot_start(name: str) -> None:
    given = {key: None if key == name else value for key, value in LEAST.items()}
    with pytest.raises(ConfigError, match=f"^--{name} .* is missing: "):
        TransceiverSettings.load(given, tree={"transceiver": TransceiverSettings})


def test_each_worker_has_a_slot_and_ports_of_its_own() -> None:
    workers = settings(workers="3", slot="7", capacity="4").each_worker()
    assert [each.slot for each in workers] == [7, 8, 9]
    assert [each.listen.port for each in workers] == [5000, 5001, 5002]
    assert [each.control.port for each in workers] == [9000, 9001, 9002]
    assert {(each.workers, each.capacity, each.listen.host) for each in workers} == {
        (1, 4, "192.0.2.2")
    }


def test_one_worker_is_what_the_settings_say() -> None:
    assert settings(slot="1").each_worker() == (settings(slot="1"),)


def test_a_slot_that_nobody_names_is_the_first_one_or_what_redis_gives() -> None:
    redis = "redis://127.0.0.1"
    assert [each.slot for each in settings(workers="2").each_worker()] == [1, 2]
    assert [each.slot for each in settings(workers="2", redis=redis).each_worker()] == [None, None]
    assert settings(slot="auto", redis=redis).slot is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("slot", "16777215", "3 workers take the slots 16777215 to 16777217"),
        ("listen", "192.0.2.2:65534", "3 workers take the ports 65534 to 65536"),
        ("control", "192.0.2.2:65534", "start at a lower one: --control, or have fewer --workers"),
    ],
)
def test_numbers_that_do_not_reach_are_refused_in_words(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**{name: value, "workers": "3"}).each_worker()
    assert says in str(caught.value)
