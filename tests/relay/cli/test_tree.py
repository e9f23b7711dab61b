"""The tree of configuration as a whole: names that do not get in each other's way."""

from pathlib import Path

import pytest

from relay.cli.tree import TREE, UpSettings
from relay.config.settings import Settings
from relay.dataplane.interface import DataplaneChoice
from relay.errors import ConfigError
from relay.run.settings import RelaySettings
from relay.wire.endpoint import Endpoint
from signaling.settings import SignalingSettings
from transceiver.agent.settings import AgentSettings
from transceiver.settings import TransceiverSettings

SETTINGS = [(section, name) for section, model in TREE.items() for name in model.model_fields]
FILE = """
keys = "keys.toml"
registry = "registry.toml"

[relay]
vip = "203.0.113.10:3478"
upstream = "192.0.2.1"

[transceiver]
listen = "192.0.2.2:5000"
control = "192.0.2.2:9000"
slot = 7

[signaling]
listen = "198.51.100.1:8080"

[up]
vip = "192.0.2.9:3478"
"""


def up(**options: str) -> UpSettings:
    return UpSettings.load(options, tree=TREE)


def test_every_service_has_its_section() -> None:
    assert list(TREE.items()) == [
        ("relay", RelaySettings),
        ("transceiver", TransceiverSettings),
        ("signaling", SignalingSettings),
        ("agent", AgentSettings),
        ("up", UpSettings),
    ]


def test_one_file_serves_all(tmp_path: Path) -> None:
    path = tmp_path / "icelane.toml"
    path.write_text(FILE)

    def load(model: type[Settings]) -> Settings:
        return model.load({}, tree=TREE, file=path)

    relay, transceiver = load(RelaySettings), load(TransceiverSettings)
    assert isinstance(relay, RelaySettings)
    assert isinstance(transceiver, TransceiverSettings)
    assert relay.vip == (Endpoint("203.0.113.10", 3478),)
    assert relay.keys == transceiver.keys == tmp_path / "keys.toml"
    assert transceiver.slot == 7
    signaling, everything = load(SignalingSettings), load(UpSettings)
    assert isinstance(signaling, SignalingSettings)
    assert isinstance(everything, UpSettings)
    assert signaling.listen == Endpoint("198.51.100.1", 8080)
    assert everything.vip == Endpoint("192.0.2.9", 3478)


@pytest.mark.parametrize(("section", "name"), SETTINGS, ids=".".join)
def test_a_name_means_one_thing_in_a_file_and_in_the_environment(section: str, name: str) -> None:
    assert name not in TREE  # above the sections it would be taken for one
    assert name != "config"  # ICELANE_CONFIG names the file
    # ICELANE_UP_VIP would otherwise be two settings.
    assert not [each for each in TREE if name.startswith(f"{each}_")], section


@pytest.mark.parametrize(("section", "name"), SETTINGS, ids=".".join)
def test_every_setting_says_what_it_is(section: str, name: str) -> None:
    info = TREE[section].model_fields[name]
    assert info.description
    assert not info.description.endswith(".")  # a sentence is made of it
    assert isinstance(info.json_schema_extra, dict)
    assert info.annotation is bool or info.json_schema_extra["metavar"] != ""


class TestUp:
    def test_without_settings_it_serves_this_host_alone(self) -> None:
        settings = up()
        assert settings.listen == Endpoint("127.0.0.1", 8080)
        assert settings.dataplane is DataplaneChoice.USERSPACE
        assert (settings.vip, settings.interface) == (None, ())

    def test_its_instance_is_not_that_of_a_relay(self) -> None:
        """Both may run on a host, each with an admin socket of its own."""
        assert up().instance != RelaySettings.model_fields["instance"].default

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("vip", "0.0.0.0:3478", "--vip: 0.0.0.0:3478: name one address, not all of them"),
            ("listen", "localhost", "--listen: 'localhost' is not a transport address"),
            ("dataplane", "magic", "--dataplane: 'magic' is none of xdp, userspace, auto"),
            ("instance", "a/b", "--instance: such a name has letters"),
        ],
    )
    def test_a_wrong_setting_is_refused_in_words(self, name: str, value: str, says: str) -> None:
        with pytest.raises(ConfigError) as caught:
            up(**{name: value})
        assert str(caught.value).startswith(says)
