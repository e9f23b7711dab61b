"""What a dataplane found on its host, in a line for people and as JSON."""

import json
import os

from relay.dataplane.hostfacts import HostFacts

FOUND = HostFacts(
    kernel="6.1.0-56-amd64",
    interfaces={"public": "native", "internal": "generic"},
    program="compiled before (/x/relay.bpf.json)",
    bpffs_mounted=True,
    milliseconds=160,
    attach_milliseconds=12,
)


def test_one_line_says_it_all() -> None:
    assert str(FOUND) == (
        "kernel 6.1.0-56-amd64; XDP native on public, generic on internal; "
        "program compiled before (/x/relay.bpf.json); BPF file system mounted now"
    )


def test_in_userspace_only_the_kernel_is_told() -> None:
    assert str(HostFacts()) == f"kernel {os.uname().release}"


def test_json_takes_it_there_and_back() -> None:
    assert HostFacts.load(json.loads(json.dumps(FOUND.as_json()))) == FOUND
