"""Calls as people read them, without transceivers and relays."""

from typing import Any

from relay.cli.callview import Place, joined, lines, row
from relay.wire.route import Target

PLACE = Place(Target(1, 5, 9), "http://192.0.2.2:9000")
ELSEWHERE = Place(Target(1, 6, 1), "http://192.0.2.3:9000")
FLOW = {
    "client": "198.51.100.7:40001",
    "target": "1/5.9",
    "state": "confirmed",
    "to_transceiver": {"packets": 1200},
    "to_client": {"packets": 34},
}


def session(number: str, client: str | None = "198.51.100.7:40001", **more: Any) -> dict[str, Any]:
    rtp = {"received": 10, "lost": 2, "sent": 9, "lost_by_client": None}
    known: dict[str, Any] = {
        "state": "connected",
        "client": client,
        "path": "192.0.2.1:20001",
        "rtp": rtp,
    }
    known |= {"principal": None, "region": None, "model": None, "age_seconds": 5.0, "audio": {}}
    return {"id": f"rtc_{number}", **known, **more}


def test_a_call_has_the_flow_of_its_client_at_its_transceiver() -> None:
    mine, other = joined(
        [(PLACE, session("a")), (ELSEWHERE, session("b", age_seconds=9.0))], [FLOW]
    )
    assert (mine["id"], mine["flow"]) == ("rtc_1-5-9-a", FLOW)
    assert (other["id"], other["flow"]) == ("rtc_1-6-1-b", None)
    assert (mine["transceiver"], other["transceiver"]) == ("1/5.9", "1/6.1")


def test_the_youngest_is_first() -> None:
    ages = [9.0, 1.0, 5.0]
    calls = joined([(PLACE, session(str(age), age_seconds=age)) for age in ages], [])
    assert [call["age_seconds"] for call in calls] == [1.0, 5.0, 9.0]


def test_a_row_has_figures_with_their_units() -> None:
    audio = {"round_trip": 0.0314, "concealed_share": 0.015}
    (call,) = joined([(PLACE, session("a", audio=audio, principal="ada", model="agent"))], [FLOW])
    assert row(call) == {
        "id": "rtc_1-5-9-a",
        "state": "connected",
        "age": "5 s",
        "principal": "ada",
        "model": "agent",
        "client": "198.51.100.7:40001",
        "transceiver": "1/5.9",
        "flow": "confirmed, 1,234 packets",
        "lost": "2",
        "concealed": "1.5%",
        "round trip": "31 ms",
    }


def test_a_call_of_which_little_is_known_has_dashes() -> None:
    (call,) = joined([(PLACE, session("a", client=None, path=None))], [])
    shown = row(call)
    names = ("principal", "model", "client", "flow", "concealed", "round trip")
    assert [shown[name] for name in names] == ["-"] * len(names)


def test_all_that_is_known_is_named_with_dots() -> None:
    (call,) = joined([(PLACE, session("a"))], [FLOW])
    told = dict(lines(call))
    assert (told["rtp.lost"], told["flow.to_client.packets"]) == ("2", "34")
    assert told["principal"] == "-"


def test_a_client_has_its_region_where_one_is_known() -> None:
    (call,) = joined([(PLACE, session("a", region="eu"))], [])
    assert row(call)["client"] == "198.51.100.7:40001 (eu)"
