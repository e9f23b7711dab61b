"""What is made of who answers and who does not, of clocks, and of files."""

from pathlib import Path

import pytest

from relay.clocks import WRONG
from relay.doctor import peers
from relay.doctor.finding import Verdict
from relay.doctor.peers import Asked

OK, WARN, FAIL, UNKNOWN = Verdict
KEYS, REGISTRY = Path("k.toml"), Path("r.toml")


def test_redis() -> None:
    assert peers.redis(Asked("redis://h", None, "fast")).says == "fast"
    broken = peers.redis(Asked("redis://h", "it refuses the password"))
    assert (broken.verdict, broken.says) == (FAIL, "redis://h: it refuses the password")


def test_transceivers() -> None:
    here, gone = Asked("192.0.2.2:5000", None, "here"), Asked("192.0.2.3:5000", "refused")
    found = list(peers.transceivers([here, gone], searched=True))
    assert [(each.name, each.verdict) for each in found] == [
        ("transceiver 192.0.2.2:5000", OK),
        ("transceiver 192.0.2.3:5000", FAIL),
    ]


def test_that_there_is_none_is_said_where_all_places_were_looked_at() -> None:
    (found,) = peers.transceivers([], searched=True)
    assert found.verdict is WARN
    assert not list(peers.transceivers([], searched=False))


@pytest.mark.parametrize(
    ("synchronised", "ahead", "verdict"),
    [
        (True, [], OK),
        (None, [1.0], OK),
        (None, [], UNKNOWN),
        (False, [0.0], WARN),
        (True, [WRONG + 1], WARN),  # one of the two is wrong
        (True, [WRONG + 1] * 2, FAIL),
        (True, [-WRONG - 1] * 3, FAIL),
        (True, [WRONG + 1, 0.0, 0.0], WARN),
    ],
)
def test_clock(ahead: list[float], verdict: Verdict, *, synchronised: bool | None) -> None:
    asked = [Asked(f"h{number}", None, ahead=each) for number, each in enumerate(ahead)]
    (found,) = peers.clock(synchronised, [*asked, Asked("silent", "gone")])
    assert found.verdict is verdict
    assert ("timedatectl" in found.fix) is (verdict in (WARN, FAIL))


@pytest.mark.parametrize(
    ("path", "mode", "verdict", "fix"),
    [
        (KEYS, 0o100600, OK, ""),
        (KEYS, "Permission denied; let this user read it", FAIL, "let this user read it"),
        (REGISTRY, 0o100644, OK, ""),
        (REGISTRY, 0o100664, WARN, "chmod go-w r.toml"),
    ],
)
def test_files(path: Path, mode: int | str, verdict: Verdict, fix: str) -> None:
    (found,) = peers.files({path: mode}, KEYS, None)
    assert (found.name, found.verdict) == ("keys" if path == KEYS else "registry", verdict)
    assert fix in found.fix


def test_a_key_file_that_others_can_use_as_well() -> None:
    shared = "others can read key file k.toml (mode 0644): chmod 600 k.toml"
    (found,) = peers.files({KEYS: 0o100644}, KEYS, shared)
    assert (found.name, found.verdict, found.fix) == ("keys", FAIL, "chmod 600 k.toml")


def test_a_clock_is_told_of_before_anything_is_refused() -> None:
    (found,) = peers.clock(True, [Asked("redis", None, ahead=-290.0)])
    assert found.verdict is WARN
    assert found.says == "this machine's clock is 5 minutes behind of that of redis"


@pytest.mark.parametrize(("hangs", "fix"), [(True, "restart it"), (False, "start it, or")])
def test_one_that_hangs_is_to_be_restarted(hangs: bool, fix: str) -> None:
    (found,) = peers.transceivers([Asked("a", "does not answer", hangs=hangs)], searched=True)
    assert fix in found.fix
