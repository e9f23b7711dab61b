"""What is made of what a running relay tells."""

from typing import Any

from relay.doctor.finding import Finding, Verdict
from relay.doctor.running import running

OK, WARN = Verdict.OK, Verdict.WARN


def told(flows: int = 1, **more: Any) -> dict[str, Finding]:
    overview = {
        "used": {"flows": flows, "ports": 1},
        "limits": {"flows": 100, "ports": 200},
        "trouble": None,
        "tasks": {"sweep": {"state": "works", "error": None}},
        "ready": True,
    }
    return {each.name: each for each in running(overview | more)}


def test_all_is_well() -> None:
    assert {each.verdict for each in told().values()} == {OK}


def test_how_full_it_is() -> None:
    assert told(91)["relay flows"].says == "91 of 100 confirmed flows: nearly full"
    full = told(100)["relay flows"]
    assert full.says == "100 of 100 confirmed flows: full, new clients get none"
    assert (full.verdict, "--max-flows" in full.fix) == (WARN, True)


def test_what_fails() -> None:
    tasks = {"mirror": {"state": "failing", "error": "no Redis"}}
    assert told(tasks=tasks)["relay tasks"].says == "mirror fails: no Redis"


def test_one_that_drains() -> None:
    assert "relay drain --end" in told(ready=False)["relay ready"].fix


def test_a_dataplane_in_trouble() -> None:
    assert told(trouble="No room. Add some")["relay dataplane"].fix == "Add some"
