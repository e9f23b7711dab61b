"""The configuration files of a lab are valid for the services that read them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from relay.cli.tree import TREE
from relay.config.registry import Registry
from relay.run.settings import RelaySettings
from tests.lab import config
from tests.lab.config import Files, Options
from tests.lab.errors import LabError
from tests.lab.lab import Lab


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, tmp_path / "admin.sock")


def test_the_registry_names_the_relay_and_the_transceiver(files: Files) -> None:
    files.registry.write_text(config.registry_text(config.relays(Options())))
    registry = Registry.load(files.registry)
    assert registry.advertised == (config.VIP,)
    (transceiver,) = registry.transceivers
    assert transceiver.address == config.MEDIA
    assert transceiver.control == f"http://{config.CONTROL}"


@pytest.mark.parametrize("redis", [False, True])
def test_the_relay_takes_its_settings(files: Files, redis: bool) -> None:
    options = Options(dataplane="xdp", redis=redis)
    files.relay.write_text(config.relay_text("lab-x", files, options))
    relay = RelaySettings.load({}, tree=TREE, file=files.relay).config()
    assert relay.vips == (config.VIP,)
    assert relay.upstreams == (config.UPSTREAM,)
    assert relay.interfaces == ("public", "internal")
    assert (relay.instance, relay.admin) == ("lab-x", files.admin)
    assert relay.redis == ("redis://127.0.0.1:6379/0" if redis else None)


def test_behind_a_nat_relay_and_registry_agree_on_what_clients_are_told(files: Files) -> None:
    options = Options(nat=True)
    files.registry.write_text(config.registry_text(config.relays(options)))
    files.relay.write_text(config.relay_text("lab-x", files, options))
    relay = RelaySettings.load({}, tree=TREE, file=files.relay).config()
    assert relay.vips == config.PRIVATE_VIPS
    assert relay.interfaces == ("cloud", "internal")
    assert relay.advertised(Registry.load(files.registry)) == config.ADVERTISED


@pytest.mark.parametrize("behind_nat", [False, True])
def test_relay_and_registry_agree_on_where_clients_connect_over_tcp(
    files: Files, behind_nat: bool
) -> None:
    options = Options(tcp=True, nat=behind_nat)
    text = config.registry_text(config.relays(options), tcp=options.tcp)
    files.registry.write_text(text)
    files.relay.write_text(config.relay_text("lab-x", files, options))
    relay = RelaySettings.load({}, tree=TREE, file=files.relay).config()
    told = [each for known in Registry.load(files.registry).relays for each in known.tcp]
    assert [each.port for each in told] == [each.port for each in relay.tcp]
    assert set(relay.vips) < set(relay.tcp)
    assert {each.port for each in relay.tcp} == {3478, 443}
    assert {each.host for each in told} == {
        each.host for each in (config.ADVERTISED if behind_nat else (config.VIP,))
    }


def test_a_relay_that_runs_as_another_user_drops_all_capabilities(files: Files) -> None:
    stages = config.stages(files, Options(dataplane="userspace", relay_user="nobody"))
    (service,) = (each for stage in stages for each in stage if each.name == config.RELAY_SERVICE)
    assert service.command[0] == "setpriv"
    assert "--reuid=nobody" in service.command
    assert "--bounding-set=-all" in service.command


@pytest.mark.parametrize(("capacity", "given"), [(None, []), (300, ["--capacity", "300"])])
def test_the_capacity_of_the_transceiver_is_an_option(
    files: Files, capacity: int | None, given: list[str]
) -> None:
    stages = config.stages(files, Options(capacity=capacity))
    (service,) = (
        each for stage in stages for each in stage if each.name == config.TRANSCEIVER_SERVICE
    )
    assert [word for word in service.command if word in ("--capacity", "300")] == given


def test_without_a_relay_clients_are_told_of_the_transceiver(files: Files) -> None:
    options = Options(dataplane=config.NO_RELAY)
    files.registry.write_text(config.registry_text(config.relays(options), media=options.media))
    registry = Registry.load(files.registry)
    (transceiver,) = registry.transceivers
    assert registry.advertised == (transceiver.address,) == (config.OPEN_MEDIA,)
    stages = config.stages(files, options)
    names = [each.name for stage in stages for each in stage]
    assert names == [config.TRANSCEIVER_SERVICE, config.SIGNALING_SERVICE]


@pytest.mark.parametrize(
    ("backend", "services"), [(config.AGENT_URL, ["agent"]), (config.BACKEND_URL, [])]
)
def test_a_back_end_is_an_option(files: Files, backend: str, services: list[str]) -> None:
    stages = config.stages(files, Options(backend=backend))
    known = {each.name: each for stage in stages for each in stage}
    assert known[config.TRANSCEIVER_SERVICE].command[-2:] == ("--backend", backend)
    assert [name for name in known if name == config.AGENT_SERVICE] == services


def test_options_are_remembered() -> None:
    options = Options(dataplane="userspace", redis=True, relay_user="nobody", nat=True, tcp=True)
    options = replace(options, backend=config.AGENT_URL)
    assert Options.load(json.loads(json.dumps(options.dump()))) == options


@pytest.mark.parametrize("name", ["", "UP", "a/b", "../x", "-a"])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="not a valid lab name: use the letters a-z"):
        Lab(name)


def test_a_name_that_is_too_long_is_refused_for_its_length() -> None:
    Lab("a" * 31)
    with pytest.raises(LabError, match="is too long: it has 32 characters, at most 31"):
        Lab("a" * 32)


def test_an_unknown_host_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match="use client, relay, transceiver"):
        Lab("x").host("server")


def test_a_lab_that_is_not_up_has_a_status_and_no_options() -> None:
    lab = Lab("never-brought-up")
    assert lab.status() == {"name": "never-brought-up", "up": False}
    with pytest.raises(LabError, match="is not up"):
        assert lab.options
