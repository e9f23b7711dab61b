"""What a viewer draws, of looks that no relay was needed for."""

from dataclasses import replace
from typing import Any

import pytest

from relay.top.model import History, Look
from relay.top.state import HELP, Page, State
from relay.top.view import Screen, count_rows, list_height, render
from tests.relay.top.rows import direction, look, overview, row

LONGEST = "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535"


def drawn(look: Look, state: State | None = None, width: int = 80, height: int = 24) -> list[str]:
    screen = Screen(width, height)
    lines = render(look, History(), state or State(), screen)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    return [line.plain.rstrip() for line in lines]


def test_the_head_says_how_the_relay_is() -> None:
    text = "\n".join(drawn(look(row(), one_way=1)))
    for said in (
        "icelane default · xdp dataplane · agent 4711 · ready · 12:34:56",
        "1 confirmed of 10,000 · 2 pending · 1 one-way · 2 set-ups/s",
        "1.2k packets/s",
        "960kbit/s",
        "30 packets/s",
        "stun_forged 30",
        "loop 3% busy, turns to 5 ms · Redis 0.2 s behind, 3 waiting",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ready": False}, "not ready"),
        ({"registry": {"draining": True, "redis_away": False}}, "draining"),
        ({"registry": {"draining": False, "redis_away": True}}, "Redis is away"),
        ({"mirror": None}, "no Redis"),
        ({"tasks": {"mirror": {"state": "failing"}}}, "Redis is away"),
        ({"tasks": {"sweep": {"state": "failing"}}}, "failing     sweep"),
        ({"trouble": "the driver takes nothing"}, "the driver takes nothing"),
        (
            {
                "workers": [{"pid": 1, "processor": 0}],
                "tasks": {f"worker {n}": {"state": "running"} for n in range(2)},
            },
            "1 of 2 workers",
        ),
    ],
    ids=str,
)
def test_what_ails_a_relay_is_said(changes: dict[str, Any], says: str) -> None:
    assert says in "\n".join(drawn(look(overview=overview(**changes))))


def test_without_an_agent_the_head_says_so_and_why() -> None:
    text = "\n".join(drawn(look(overview=None, trouble=["no agent answers at /x"], pending=None)))
    assert "xdp dataplane · no agent" in text
    assert "no agent answers at /x" in text
    assert "pending" not in text


@pytest.mark.parametrize("width", [60, 80, 100, 132, 200])
@pytest.mark.parametrize("client", ["203.0.113.2:40000", LONGEST])
def test_no_address_is_broken(width: int, client: str) -> None:
    found = row(client, transceiver=LONGEST, upstream=LONGEST, vip=LONGEST)
    lines = drawn(look(found), width=width)
    (line,) = [line for line in lines if line.startswith(client)]
    for word in line.split():
        assert "…" not in word
        assert not word.startswith("[") or word in (client, LONGEST)


def test_80_columns_have_both_directions_and_the_route_of_the_longest_address() -> None:
    (line,) = [line for line in drawn(look(row(LONGEST))) if line.startswith(LONGEST)]
    assert line.split()[1:] == ["40k", "40k", "1/20.3"]


def test_a_wide_screen_has_it_all() -> None:
    (line,) = [line for line in drawn(look(row()), width=200) if line.startswith("203.0.113.2:")]
    assert line.split() == [
        *("203.0.113.2:40000", "50", "50", "40k", "40k", "90k", "100%", "0.1s", "1m01s", "1/20.3"),
        *("192.0.2.2:5000", "192.0.2.1:20000", "203.0.113.10:3478", "udp"),
    ]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"state": "pending"}, "pending"),
        ({"to_client": direction(idle_seconds=11.0)}, "client only"),
        ({"to_client": direction(idle_seconds=None)}, "client only"),
        ({"to_transceiver": direction(idle_seconds=11.0)}, "silent client"),
    ],
    ids=str,
)
def test_flows_that_are_not_as_they_should_be_are_marked(
    changes: dict[str, Any], note: str
) -> None:
    assert note in "\n".join(drawn(look(row(**changes))))


def test_a_short_screen_says_how_many_more_there_are() -> None:
    rows = [row(f"203.0.113.{n}:1") for n in range(40)]
    seen = look(*rows, matching=100_000)
    lines = drawn(seen)
    shown = [line for line in lines if line.startswith("203.0.113.")]
    height = list_height(seen, History(), State(), Screen(80, 24))
    assert len(shown) == height
    assert lines[-1] == f"{100_000 - height:,} more"
    lines = drawn(seen, State(row=20, top=20))
    assert lines[-1] == f"20 above, {100_000 - 20 - height:,} more"


def test_a_tiny_screen_is_drawn() -> None:
    assert drawn(look(row()), width=10, height=3)


def test_a_list_of_nothing_says_why() -> None:
    assert "no flows" in drawn(look())
    assert "no flow fits '10.9'" in drawn(look(confirmed=5, matching=0), State(filter="10.9"))
    assert "nothing was dropped" in drawn(look(drops=()), State(page=Page.DROPS))


def test_the_filter_is_shown_while_it_is_typed_and_after_that() -> None:
    assert "filter: 10.1_" in "\n".join(drawn(look(), State(filter="10.1", typing=True)))
    assert "filter: 10.1  " in "\n".join(drawn(look(), State(filter="10.1")))


@pytest.mark.parametrize(
    ("page", "cells"),
    [
        (Page.TRANSCEIVERS, ["192.0.2.2:5000", "1/20.3", "1,234", "50", "49", "40k", "39k"]),
        (Page.DROPS, ["stun_forged", "xdp", "30", "70"]),
        (Page.CPUS, ["0", "40%", "10%", "20%", "0%", "30%", "1.2k", "3", "30", "worker", "0"]),
    ],
)
def test_each_page_has_its_table(page: Page, cells: list[str]) -> None:
    assert cells in [line.split() for line in drawn(look(row()), State(page=page))]
    assert count_rows(look(row()), State(page=page)) == (2 if page is Page.DROPS else 1)


def test_the_help_has_every_key() -> None:
    text = "\n".join(drawn(look(row()), State(help=True)))
    assert all(keys in text and said in text for keys, said in HELP)


def test_pausing_is_shown() -> None:
    assert drawn(look(), State(paused=True))[0].endswith("paused")


class TestDetail:
    NAME = ("203.0.113.2:40000", "203.0.113.10:3478", "udp")
    HOP = {  # noqa: RUF012  # a constant
        "interface": "internal",
        "gateway": "2001:db8:2:3:4:5:6:7",
        "destination_mac": "f2:81:13:43:cf:ac",
        "mtu": 1500,
        "vlan": 7,
    }

    def test_a_flow_fits_24_lines_and_says_all(self) -> None:
        found = row(
            to_transceiver=direction(500, 50.0, kernel_packets=480, next_hop=self.HOP),
            introduced="198.51.100.9:1",
            stored_seconds=3.0,
            claimed=True,
            epoch=2,
        )
        text = "\n".join(drawn(look(found, shown=found), State(opened=self.NAME)))
        for said in (
            "203.0.113.2:40000 (UDP)",
            "an edge; behind it 198.51.100.9:1",
            "cluster/slot.generation 1/20.3, key slot 0",
            "1m01s",
            "written 3.0s ago, epoch 2, claimed",
            "50 packets/s, 40kbit/s",
            "500 (kernel 480, userspace 20), 50,000 bytes",
            "2001:db8:2:3:4:5:6:7 (f2:81:13:43:cf:ac)",
            "internal, MTU 1500, VLAN 7",
            "not known yet",
        ):
            assert said in text

    def test_a_flow_that_has_gone_is_told_of(self) -> None:
        text = "\n".join(drawn(look(), State(opened=self.NAME)))
        assert "The flow of 203.0.113.2:40000 to 203.0.113.10:3478 is not there" in text

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"ended": True}, "has said goodbye"),
            ({"to_client": direction(idle_seconds=None)}, "only the client is heard"),
            ({"age_seconds": None}, "not known"),
        ],
        ids=str,
    )
    def test_how_it_is_is_said(self, changes: dict[str, Any], says: str) -> None:
        found = row(**changes)
        assert says in "\n".join(drawn(look(shown=found), State(opened=self.NAME)))


def test_ascii_will_do() -> None:
    history = History()
    history.add(look(row()))
    screen = replace(Screen(), ascii=True)
    assert all(line.plain.isascii() for line in render(look(row()), history, State(), screen))
