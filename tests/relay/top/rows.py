"""Rows and looks as a source gives them."""

from typing import Any

from relay.top.model import Drop, Look, Processor, Traffic


def direction(packets: int = 0, rate: float = 0.0, **changes: Any) -> dict[str, Any]:
    return {
        "packets": packets,
        "bytes": packets * 100,
        "kernel_packets": packets,
        "packet_rate": rate,
        "bit_rate": rate * 800,
        "idle_seconds": 0.1,
        "next_hop": None,
    } | changes


def row(client: str = "203.0.113.2:40000", rate: float = 50.0, **changes: Any) -> dict[str, Any]:
    return {
        "client": client,
        "transport": "udp",
        "vip": "203.0.113.10:3478",
        "upstream": "192.0.2.1:20000",
        "transceiver": "192.0.2.2:5000",
        "target": "1/20.3",
        "route": "00000100001403" + "00" * 14,
        "state": "confirmed",
        "to_transceiver": direction(500, rate),
        "to_client": direction(400, rate),
        "age_seconds": 61.0,
        "epoch": 1,
        "stored_seconds": None,
        "claimed": False,
        "ended": False,
        "introduced": None,
    } | changes


def overview(**changes: Any) -> dict[str, Any]:
    return {
        "pid": 4711,
        "dataplane": "xdp",
        "instance": "default",
        "ready": True,
        "trouble": None,
        "registry": {"draining": False, "redis_away": False},
        "mirror": {"lag_seconds": 0.2, "waiting": 3},
        "tasks": {"sweep": {"state": "running"}, "mirror": {"state": "running"}},
    } | changes


def look(*rows: dict[str, Any], **changes: Any) -> Look:
    known: dict[str, Any] = {
        "time": "12:34:56",
        "instance": "default",
        "overview": overview(),
        "confirmed": len(rows),
        "pending": 2,
        "room": 10_000,
        "traffic": {"xdp": Traffic(1200.0, 960_000.0), "userspace": Traffic(3.0, 2400.0)},
        "drops": (Drop("xdp", "stun_forged", 70, 30.0), Drop("userspace", "bad_route", 5, 0.0)),
        "setups": 2.0,
        "busy": 0.034,
        "longest": "5",
        "rows": rows,
        "matching": len(rows),
        "transceivers": (
            {
                "transceiver": "192.0.2.2:5000",
                "target": "1/20.3",
                "flows": 1234,
                "to_transceiver": {"packet_rate": 50.0, "bit_rate": 40_000},
                "to_client": {"packet_rate": 49.0, "bit_rate": 39_000},
            },
        ),
        "processors": (
            Processor(
                0,
                {"user": 0.4, "system": 0.1, "softirq": 0.2, "steal": 0.0, "idle": 0.3},
                {"forwarded": 1200.0, "passed": 3.0, "dropped": 30.0},
                "worker 0",
            ),
        ),
    }
    return Look(**(known | changes))
