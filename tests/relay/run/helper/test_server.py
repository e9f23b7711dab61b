"""What a helper does for its agent, and for whoever has taken that over: nothing else."""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.linux import sysctl
from relay.run.config import RelayConfig
from relay.run.helper.server import MAPS, Server

pytestmark = [pytest.mark.netns, pytest.mark.bpf]
KEY = "00" * 16


def answered(server: Server, do: str, **request: Any) -> tuple[dict[str, Any], Sequence[int]]:
    answer, files = server.answer({"do": do, **request})
    for fd in files:
        os.close(fd)
    return answer, files


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": None},
        {"do": ["load"]},
        {"do": "exec", "path": "/bin/sh"},
        {"do": "__class__"},
        {"do": "open"},
        *(
            {"do": "open", "name": name}
            for name in (
                *("rate_limits", "build", "program", "link-a", "steer-link", ""),
                *("../default/flow_records", "/sys/fs/bpf/x", "flow_records\0", 7, ["counters"]),
            )
        ),
        {"do": "load"},
        {"do": "load", "route_keys": [], "remote": [], "pass_all": 1},
        {"do": "load", "route_keys": [[1, 8, KEY]], "remote": [], "pass_all": False},
        {"do": "load", "route_keys": [[1 << 16, 0, KEY]], "remote": [], "pass_all": False},
        {"do": "load", "route_keys": [[1, 0, KEY[2:]]], "remote": [], "pass_all": False},
        {"do": "load", "route_keys": [[1, 0, "zz" * 16]], "remote": [], "pass_all": False},
        {"do": "load", "route_keys": {"1": 0}, "remote": [], "pass_all": False},
        {"do": "load", "route_keys": 7, "remote": [], "pass_all": False},
        {"do": "load", "route_keys": [], "pass_all": False},
        {"do": "load", "route_keys": [], "remote": [1 << 16], "pass_all": False},
        {"do": "load", "route_keys": [], "remote": ["1"], "pass_all": False},
        {"do": "forward"},
        {"do": "forward", "on": "program"},
        {"do": "follow_interfaces", "on": 1},
        {"do": "run_generic", "on": None},
        {"do": "refusing"},
        {"do": "refusing", "asked": {"lo": 1}},
        {"do": "refusing", "asked": {"a": 1}},
        {"do": "refusing", "asked": ["a"]},
        *(
            {"do": do, "host": host}
            for do in ("udp_socket", "icmp_socket")
            for host in (None, "", "0.0.0.0", "127.0.0.1", "192.0.2.9", "::ffff:192.0.2.1", 7)
        ),
        {"do": "udp_socket", "host": "203.0.113.10"},  # a VIP sends from its own socket
        {"do": "filter"},
        {"do": "filter", "v6": False, "to_transceivers": "no"},
    ],
    ids=str,
)
def test_what_was_not_configured_is_refused(
    server: Server, open_files: Callable[[], int], request_: dict[str, Any]
) -> None:
    before = open_files()
    answer, files = server.answer(request_)
    assert (set(answer), list(files)) == ({"error"}, [])
    assert answer["error"].startswith("The privileged helper refuses")
    assert open_files() == before


def test_what_a_request_says_beside_is_not_heard(server: Server, config: RelayConfig) -> None:
    """No argument names an interface, an instance, a path or a setting."""
    strange = {"instance": "other", "interfaces": ["lo"], "mode": "generic", "name": "net/ipv4/x"}
    pins = Pins(config.instance)
    for do in ("load", "follow_interfaces", "mend_forwarding", "probe_neighbours", "unload"):
        told = {"route_keys": [], "remote": [], "pass_all": False, "on": True, **strange}
        assert "value" in answered(server, do, **told)[0]
        assert set(pins.links()) == ({"a", "b"} if do != "unload" else set())
    assert not Pins("other").loaded()


def test_all_that_an_agent_asks_is_done(server: Server, config: RelayConfig) -> None:
    for name in MAPS:
        answer, files = answered(server, "open", name=name)
        assert (answer, len(files)) == ({"value": None}, 3)
    keys = [[1, 0, KEY], [7, 5, "11" * 16]]
    answer, _ = answered(server, "load", route_keys=keys, remote=[9], pass_all=False)
    assert (answer["value"]["outcome"], answer["value"]["instance"]) == ("kept", config.instance)
    with PinnedMap(Pins(config.instance).map("route_keys")) as table:
        assert {value.hex() for _, value in table.items()} == {KEY, "11" * 16, "00" * 16}
    assert answered(server, "linked")[0]["value"].keys() == {"a", "b"}
    assert answered(server, "refusing", asked=answered(server, "linked")[0]["value"])[0] == {
        "value": []
    }
    for do, count in (("steer_sockets", 1), ("grace_period", 2), ("read_ticks", 0), ("unseen", 0)):
        answer, opened = answered(server, do)
        assert ("value" in answer, len(opened)) == (True, count), (do, answer)


def test_forwarding_on_lo_is_all_that_it_sets(server: Server) -> None:
    sysctl("net/ipv4/conf/lo/forwarding", 0)
    answer, _ = answered(server, "mend_forwarding")
    assert len(answer["value"]) == 1
    assert sysctl("net/ipv4/conf/lo/forwarding") == 1


def test_a_raw_socket_hears_nothing_whoever_has_it(server: Server) -> None:
    _, (fd,) = server.answer({"do": "udp_socket", "host": "192.0.2.1"})
    with socket.socket(fileno=fd) as raw:
        assert raw.getsockname()[0] == "192.0.2.1"
        with pytest.raises(PermissionError):
            raw.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER
    for host in ("192.0.2.1", "203.0.113.10"):
        answer, (fd,) = server.answer({"do": "icmp_socket", "host": host})
        with socket.socket(fileno=fd) as icmp:
            assert (answer, icmp.getsockname()[0]) == ({"value": None}, host)


def test_what_the_kernel_refuses_is_said(server: Server) -> None:
    answered(server, "unload")
    for do in ("steer_sockets", "read_ticks"):
        answer, _ = answered(server, do)
        assert answer["errno"] == 2
    answer, _ = answered(server, "open", name="counters")
    assert "is not loaded" in answer["error"]
    assert answered(server, "is_loaded")[0] == {"value": False}
