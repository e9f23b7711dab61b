import json

import pytest

from relay.caller.output import JsonLinesOutput, JsonOutput, Output, TerminalOutput
from relay.caller.report import Received, Report, SetupTimes

STEPS = ("answer", "connected", "talking", "settling")


@pytest.fixture
def report() -> Report:
    return Report(
        "http://127.0.0.1/",
        call_id="rtc_x",
        remote="203.0.113.10:3478",
        seconds=1.5,
        setup_ms=SetupTimes(answer=16.2, ice=40.1, dtls=46.4),
        sent=75,
        received=Received(packets=74, lost=1),
    )


def show(output: Output, report: Report) -> None:
    with output:
        for step in STEPS:
            output.progress(step, report)
    output.finish(report)


def test_json_is_one_object_at_the_end(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    show(JsonOutput(), report)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == report.as_json()
    assert printed.err == ""


def test_json_lines_are_a_step_each_and_the_report(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    show(JsonLinesOutput(), report)
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line.pop("event") for line in lines] == [*STEPS, "report"]
    assert lines == [report.as_json()] * 5
    assert printed.err == ""


def test_a_terminal_gets_steps_and_a_table(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    show(TerminalOutput(), report)
    printed = capsys.readouterr()
    steps = [line for line in printed.err.splitlines() if line.startswith("✓")]
    assert steps == [
        "✓ Answered after 16 ms: call rtc_x",
        "✓ Connected to 203.0.113.10:3478 after 46 ms (ICE 40 ms)",
    ]
    rows = dict(line.strip().split("  ", 1) for line in printed.out.splitlines())
    assert rows["Sent"].strip() == "75 packets in 1.5 s"
    assert rows["Received"].strip().startswith("74 packets, 1 lost")


def test_a_call_that_sent_nothing_has_no_table(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    report.sent = 0
    show(TerminalOutput(), report)
    assert capsys.readouterr().out == ""
