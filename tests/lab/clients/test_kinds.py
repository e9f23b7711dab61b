"""What a client needs is looked for."""

import sys

from tests.lab.clients.kinds import KINDS, Kind, variant


def test_what_is_missing_is_named() -> None:
    needs = (sys.executable, "sh", "python:json", "/nowhere", "no-program", "python:nomodule")
    kind = Kind("test", lambda _: [], needs, str)
    assert kind.missing() == "needs /nowhere, no-program, python:nomodule: `make setup-test`"
    assert Kind("test", lambda _: [], needs[:3], str).missing() is None


def test_a_browser_takes_further_flags(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from tests.lab.clients import stimulus

    tones = stimulus.write(tmp_path)
    plain, flagged = KINDS["chromium"], variant(KINDS["chromium"], ["--x"])
    assert [*plain.command(tones), "--flag=--x"] == flagged.command(tones)
