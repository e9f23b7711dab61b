from typing import Any

import pytest
from rich.console import Console, RenderableType

from relay.admin.flowview import flow_table, kernel_share


def direction(packets: int, kernel: int) -> dict[str, int]:
    return {
        "packets": packets,
        "bytes": packets * 100,
        "kernel_packets": kernel,
        "userspace_packets": packets - kernel,
    }


def flow(port: int = 40_000, inward: int = 0, outward: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "client": f"203.0.113.2:{port}",
        "transport": "udp",
        "vip": "203.0.113.10:3478",
        "upstream": f"192.0.2.1:{port}",
        "transceiver": "192.0.2.2:5000",
        "target": "1/1.1",
        "state": "confirmed",
        "to_transceiver": direction(inward, inward),
        "to_client": direction(outward, outward),
        "idle_seconds": 1.25,
    } | changes


def drawn(view: RenderableType, width: int = 200) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(view)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_list_shows_every_value_of_a_flow() -> None:
    line = drawn(flow_table([flow(inward=12_345, outward=678)]))[1]
    assert line.split() == [
        *("203.0.113.2:40000", "udp", "203.0.113.10:3478", "192.0.2.1:40000", "192.0.2.2:5000"),
        *("confirmed", "12,345", "678", "100.0", "%", "1.2"),
    ]


def test_an_empty_list_is_its_header() -> None:
    (header,) = drawn(flow_table([]))
    assert header.split()[:6] == [
        *("client", "transport", "vip", "upstream", "transceiver", "state")
    ]


def test_an_ipv6_address_is_no_markup() -> None:
    assert "[fd00::1]:3478" in drawn(flow_table([flow(vip="[fd00::1]:3478")]))[1]


def test_a_narrow_screen_cuts_nothing_off() -> None:
    text = "".join(drawn(flow_table([flow(inward=12_345)]), width=80))
    assert "…" not in text
    assert "12,345" in text


def test_a_flow_without_packets_is_idle_for_no_known_time() -> None:
    line = drawn(flow_table([flow(idle_seconds=None)]))[1]
    assert line.split()[-4:] == ["0", "0", "-", "-"]


@pytest.mark.parametrize(
    ("directions", "share"),
    [
        ((direction(0, 0), direction(0, 0)), "-"),
        ((direction(10, 0), direction(10, 0)), "0.0 %"),
        ((direction(500, 499), direction(500, 499)), "99.8 %"),
        ((direction(1, 1),), "100.0 %"),
    ],
)
def test_kernel_share(directions: tuple[dict[str, int], ...], share: str) -> None:
    assert kernel_share(*directions) == share
