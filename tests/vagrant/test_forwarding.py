"""The relay in the machine, as far as this host can say what the machine would."""

import os
import tomllib
from pathlib import Path

import pytest

from relay.netns.host import Host
from tests.lab.topology import INTERNAL, PUBLIC, RELAY
from vagrant import forwarding, network
from vagrant.errors import MachineError
from vagrant.machine import Machine

STATUS = '[{"interfaces": {"public": "%s", "internal": "%s"}, "counters": {}}]'


class Answering(Machine):
    """A machine that runs nothing: each command is answered by what its script has in it."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers, self.scripts, self.files = answers, list[str](), dict[str, str]()

    def output(self, script: str, *, seconds: float = 0.0) -> str:  # noqa: ARG002  # the machine's
        """Give the answer to a script."""
        self.scripts.append(script)
        return next((said for part, said in self.answers.items() if part in script), "")

    def write(self, path: str, text: str) -> None:
        """Keep the text."""
        self.files[path] = text


def answering(
    said: str = "ready", state: str = "active", modes: tuple[str, str] = ("native", "native")
) -> Answering:
    return Answering(
        {"journalctl": f"{said}\n", "is-active": f"{state}\n", "relay status": STATUS % modes}
    )


def test_the_relay_gets_keys_registry_and_settings_for_native_mode() -> None:
    machine = answering()
    assert forwarding.start_relay(machine, "the keys")["interfaces"] == {
        PUBLIC: "native",
        INTERNAL: "native",
    }
    assert machine.files[f"{forwarding.ETC}/keys.toml"] == "the keys"
    assert f"install -m 600 /dev/null {forwarding.ETC}/keys.toml" in machine.scripts[0]
    settings = tomllib.loads(machine.files[f"{forwarding.ETC}/relay.toml"])
    assert "native" in str(settings)
    for name in machine.files:
        assert name.startswith(forwarding.ETC)


def test_a_program_that_runs_as_generic_xdp_is_refused() -> None:
    with pytest.raises(MachineError, match=r"does not run natively: .*'internal': 'generic'"):
        forwarding.start_relay(answering(modes=("native", "generic")), "")


def test_a_relay_that_ended_is_told_with_what_it_said() -> None:
    with pytest.raises(MachineError, match=r"(?s)is failed, and not ready.*no such card: eth7"):
        forwarding.start_relay(answering(said="no such card: eth7", state="failed"), "")


def test_a_relay_that_is_never_ready_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forwarding, "READY_SECONDS", 0.2)
    monkeypatch.setattr(forwarding, "POLL_SECONDS", 0.05)
    with pytest.raises(MachineError, match="is active, and not ready"):
        forwarding.start_relay(answering(said="compiling"), "")


@pytest.mark.netns
def test_a_card_gets_name_and_addresses_of_its_network(
    network_name: str, here: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The script as it is, but in a namespace: `sudo` is one that does nothing.
    (tmp_path / "sudo").write_text('#!/bin/sh\nexec "$@"\n', "utf-8")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    host = Host(network_name, RELAY)
    host.create()
    with host.netlink() as netlink:
        netlink.link("add", ifname="eth1", kind="veth", peer="far")
    with host.inside():
        here.output(forwarding._card_script("eth1", PUBLIC))
    with host.netlink() as netlink:
        (index,) = netlink.link_lookup(ifname=PUBLIC)
        given = {
            f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}"
            for each in netlink.get_addr(index=index, scope=0)
        }
    assert given == set(network.relay_addresses(PUBLIC))
