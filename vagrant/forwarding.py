"""The second half of the test: a call through a relay in the machine, between its two cards.

Caller, signaling and transceiver are outside, in network namespaces of this host. The relay's
cards are virtio-net devices, whose driver runs the XDP program natively.
"""

import json
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relay.wire.keys import KeyRing
from tests.lab import config
from tests.lab.call import Call
from tests.lab.call_result import CallResult
from tests.lab.lab import Lab
from tests.lab.probe import AGENT_COUNTERS, KERNEL_COUNTERS
from tests.lab.service import Runner
from tests.lab.topology import INTERNAL, PUBLIC, TRANSCEIVER
from vagrant.errors import MachineError
from vagrant.log import Log
from vagrant.machine import Machine
from vagrant.network import NAME, relay_addresses
from vagrant.newcomer import DIRECTORY

OPTIONS = config.Options(dataplane="xdp")
CALL_SECONDS = 10.0
READY_SECONDS = 120.0  # of the relay; compiling its program takes half a minute in emulation
POLL_SECONDS = 1.0
CARDS = {"eth1": PUBLIC, "eth2": INTERNAL}

ETC = "/etc/icelane"
ICELANE = f"/home/vagrant/{DIRECTORY}/.venv/bin/icelane"


def start_relay(machine: Machine, keys: str) -> dict[str, Any]:
    """Start a relay in the machine, on both cards; gives what it has loaded into the kernel.

    Raises:
        MachineError: It does not start, or its program does not run natively.
    """
    files = config.Files(Path(ETC), Path(f"/run/icelane/{NAME}.sock"))
    machine.output(f"sudo mkdir -p {ETC} && sudo install -m 600 /dev/null {files.keys}")
    machine.write(str(files.keys), keys)
    machine.write(str(files.registry), config.registry_text(config.relays(OPTIONS)))
    machine.write(
        str(files.relay),
        config.relay_text(NAME, files, OPTIONS) + 'mode = "native"\n',
    )
    for card, network in CARDS.items():
        machine.output(_card_script(card, network))
    machine.output(
        f"sudo systemd-run --quiet --unit=icelane-relay {ICELANE} relay run --config {files.relay}"
    )
    _wait_until_ready(machine)
    status = relay_status(machine)
    if set(status["interfaces"].items()) != {(PUBLIC, "native"), (INTERNAL, "native")}:
        raise MachineError(f"The program does not run natively: {status['interfaces']}")
    return status


def _card_script(card: str, network: str) -> str:
    addresses = " && ".join(
        f"sudo ip address add {address} dev {network} {'nodad' if ':' in address else ''}"
        for address in relay_addresses(network)
    )
    return f"sudo ip link set {card} name {network} up && {addresses}"


def _wait_until_ready(machine: Machine) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        said = machine.output("sudo journalctl --unit=icelane-relay --output=cat --no-pager")
        if any(line.startswith("ready") for line in said.splitlines()):
            return
        state = machine.output("systemctl is-active icelane-relay || true").strip()
        if state != "active" or time.monotonic() > deadline:
            raise MachineError(
                f"The relay in the machine is {state}, and not ready. It said:\n{said}"
            )
        time.sleep(POLL_SECONDS)


def relay_status(machine: Machine) -> dict[str, Any]:
    """What `icelane relay status` tells of the relay in the machine."""
    script = f"sudo {ICELANE} relay status --instance {NAME} --json"
    status: dict[str, Any] = json.loads(machine.output(script))[0]
    return status


def agent_counters(machine: Machine) -> dict[str, int]:
    """What the agent in the machine counts."""
    script = (
        "import json, pathlib; from relay.admin import transport; "
        f"status = transport.ask(pathlib.Path('/run/icelane/{NAME}.sock'), 'status'); "
        "print(json.dumps(status['counters']))"
    )
    counters: dict[str, int] = json.loads(
        machine.output(f'cd {DIRECTORY} && sudo .venv/bin/python -c "{script}"')
    )
    return counters


@contextmanager
def services(lab: Lab) -> Iterator[str]:
    """Run transceiver and signaling outside of the machine; gives the keys for the relay.

    Raises:
        LabError: One does not start.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = config.Files(Path(directory), Path(directory) / "admin.sock")
        keys = KeyRing.generate(secrets.token_bytes).dumps()
        files.keys.touch(0o600)
        files.keys.write_text(keys, "utf-8")
        files.registry.write_text(config.registry_text(config.relays(OPTIONS)), "utf-8")
        runner = Runner(NAME, files.directory)
        try:
            for stage in config.stages(files, OPTIONS):
                for service in stage:
                    if service.host == TRANSCEIVER:
                        runner.start(service, lab.hosts[service.host]).wait()
            yield keys
        finally:
            runner.stop_all()


def forwarded_call(machine: Machine, log: Log) -> None:
    """Place a call from outside through the machine, and say who forwarded its packets.

    Raises:
        MachineError: It failed, lost packets, or was not forwarded by the kernel.
        LabError: A service outside does not start.
    """
    lab = Lab(NAME)
    with services(lab) as keys:
        before = start_relay(machine, keys)
        log(f"relay in the machine: native XDP on {', '.join(before['interfaces'])}")
        with Call(lab, CALL_SECONDS) as call:
            report = call.report()
        after, by_agent = relay_status(machine), agent_counters(machine)
    counted = {name: after["counters"][name] - before["counters"][name] for name in KERNEL_COUNTERS}
    result = CallResult.of(
        report,
        title="through the machine",
        dataplane="xdp",
        by_kernel=sum(counted.values()),
        by_agent=sum(by_agent[name] for name in AGENT_COUNTERS),
    )
    log(f"audio packets sent {result.sent}, returned {result.returned}, lost {result.lost}")
    log(f"forwarded by the kernel: {counted}; by the agent: {result.by_agent}")
    log(f"longest silence {result.longest_gap_ms:.0f} ms, first audio after {result.setup_ms} ms")
    if problems := list(result.problems()):
        said = machine.output("sudo journalctl --unit=icelane-relay --output=cat --no-pager")
        raise MachineError(f"The call is not as it should be: {'; '.join(problems)}\n{said}")
