"""The files of a lab are what the services read."""

import json
from pathlib import Path

import pytest

from relay.registry import Registry
from relay.run.config import RelayConfig
from tests.lab import plan
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.plan import Files, Options


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, tmp_path / "admin.sock")


def test_the_registry_names_the_relay_and_the_transceiver(files: Files) -> None:
    files.registry.write_text(plan.registry_text())
    registry = Registry.load(files.registry)
    assert registry.relays == (plan.VIP,)
    (transceiver,) = registry.transceivers
    assert transceiver.address == plan.MEDIA
    assert transceiver.control == f"http://{plan.CONTROL}"


@pytest.mark.parametrize("redis", [False, True])
def test_the_relay_takes_its_settings(files: Files, redis: bool) -> None:
    options = Options(dataplane="xdp", redis=redis)
    files.relay.write_text(plan.relay_text("lab-x", files, options))
    config = RelayConfig.load(files.relay, {})
    assert config.vips == (plan.VIP,)
    assert config.upstreams == (plan.UPSTREAM,)
    assert config.interfaces == ("public", "internal")
    assert (config.instance, config.admin) == ("lab-x", files.admin)
    assert config.redis == ("redis://127.0.0.1:6379/0" if redis else None)


def test_a_relay_that_runs_as_another_user_keeps_no_power(files: Files) -> None:
    stages = plan.stages(files, Options(dataplane="userspace", relay_user="nobody"))
    (service,) = (each for stage in stages for each in stage if each.name == plan.RELAY_SERVICE)
    assert service.command[0] == "setpriv"
    assert "--reuid=nobody" in service.command
    assert "--bounding-set=-all" in service.command


@pytest.mark.parametrize(("capacity", "given"), [(None, []), (300, ["--capacity", "300"])])
def test_the_transceiver_takes_as_many_sessions_as_it_is_told(
    files: Files, capacity: int | None, given: list[str]
) -> None:
    stages = plan.stages(files, Options(capacity=capacity))
    (service,) = (
        each for stage in stages for each in stage if each.name == plan.TRANSCEIVER_SERVICE
    )
    assert [word for word in service.command if word in ("--capacity", "300")] == given


def test_options_are_remembered() -> None:
    options = Options(dataplane="userspace", redis=True, relay_user="nobody")
    assert Options.load(json.loads(json.dumps(options.dump()))) == options


@pytest.mark.parametrize("name", ["", "UP", "a/b", "../x", "-a", "a" * 32])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="no name for a lab"):
        Lab(name)


def test_an_unknown_host_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(LabError, match="use client, relay, transceiver"):
        Lab("x").host("server")


def test_what_is_not_up_has_a_status_and_no_options() -> None:
    lab = Lab("never-brought-up")
    assert lab.status() == {"name": "never-brought-up", "up": False}
    with pytest.raises(LabError, match="is not up"):
        assert lab.options
