"""Everything that a fuzzer has found, and what covers the parsers, goes through them again."""

import subprocess
from pathlib import Path

import pytest

from tests.fuzz.oracle import KEY, Verdict, judge
from tests.fuzz.run import CORPUS, PARSERS, build, environment, framed, seeds
from tests.fuzz.targets import ROUTE, TARGETS
from tests.relay.wire.cases import CASES, CLUSTER, KEYS
from tests.relay.wire.verdict import FORGED, ROUTED, UNKNOWN_KEY, verdict

LIMIT = 300.0  # seconds


def kept(name: str) -> list[bytes]:
    return [each.read_bytes() for each in sorted((CORPUS / name).glob("*"))]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(name, tmp_path_factory.mktemp(name)) for name in PARSERS}


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_kept_breaks_nothing(name: str) -> None:
    target, begin = TARGETS[name]
    for data in [*begin, *kept(name)]:
        target(data)


@pytest.mark.parametrize("name", PARSERS)
def test_the_parsers_in_c_and_in_python_agree_on_what_was_kept(
    built: dict[str, Path], name: str, tmp_path: Path
) -> None:
    for number, seed in enumerate(seeds(name)):
        (tmp_path / f"seed-{number}").write_bytes(seed)
    ran = subprocess.run(
        [built[name], "-runs=0", tmp_path, CORPUS / name],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        env=environment(),
    )
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_a_difference_between_the_parsers_is_found(built: dict[str, Path], tmp_path: Path) -> None:
    """Where the oracle says of everything that it is no route."""
    (tmp_path / "seed").write_bytes(seeds("payload")[0])
    said = """import os
while size := os.read(0, 4):
    if any(size):
        os.read(0, 65536)
    os.write(1, bytes([9]))"""
    ran = subprocess.run(
        [built["payload"], "-runs=0", tmp_path / "seed"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=LIMIT,
        env=environment() | {"ICELANE_FUZZ_ORACLE": f"exec python3 -c '{said}'"},
    )
    assert ran.returncode != 0
    assert "two verdicts" in ran.stderr


def test_the_oracle_says_what_the_relay_says() -> None:
    for case in CASES:
        routed = verdict(case.payload, KEYS, CLUSTER) in (ROUTED, FORGED, UNKNOWN_KEY)
        assert (judge(case.payload)[0] == Verdict.ROUTE) is routed, case.name
    assert len(KEY) == 16
    assert len(framed(b"12345")) == 42 + 5
    assert ROUTE.raw[0] == 0
