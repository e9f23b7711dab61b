import json

from relay.caller.report import Received, Report


def report() -> Report:
    return Report("http://127.0.0.1/", sent=500, received=Received(packets=498, lost=1))


def test_losses_are_what_one_side_sent_and_the_other_did_not_receive() -> None:
    it = report()
    it.add_session({"id": "rtc_x", "rtp": {"received": 497, "lost": 2, "sent": 500}})
    assert (it.lost_to_server, it.lost_to_client) == (3, 2)  # the last packet leaves no gap
    assert (it.far_end.received, it.far_end.lost, it.far_end.sent) == (497, 2, 500)


def test_without_counts_of_the_other_side_losses_are_unknown() -> None:
    for session in ({}, {"rtp": None}, {"rtp": {"received": "many"}}):
        it = report()
        it.add_session(session)
        assert (it.lost_to_server, it.lost_to_client) == (None, None)


def test_the_report_is_json_and_says_whether_the_call_was_good() -> None:
    it = report()
    document = json.loads(json.dumps(it.as_json()))
    assert document["ok"]
    assert document["received"]["packets"] == 498
    it.error = {"code": 6, "message": "ICE failed"}
    assert not it.as_json()["ok"]


def test_people_read_what_is_unknown_as_such() -> None:
    rows = dict(report().rows())
    assert rows["  arrived there"] == "not reported"
    assert rows["Received"].startswith("498 packets, 1 lost")
    assert rows["Remote address"] == "none"
