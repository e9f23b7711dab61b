"""Runs of fuzzers: what each needs is made, it is watched, and what it finds is kept."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay.errors import IcelaneError
from tests.fuzz.targets import TARGETS
from tests.relay.wire.cases import CASES

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).with_name("corpus")
WORK = ROOT / ".fuzz"  # what earlier runs covered
#: Those in C, and what the compiler is told.
PARSERS: dict[str, tuple[str, ...]] = {"payload": (), "frame": ("-DWHOLE_FRAMES",)}
ALL = (*TARGETS, *PARSERS)
KEPT = 40  # inputs of a target in Python
MAX_LENGTH = {"sdp": 4096, "record": 512, "admin": 512}
_COMPILER = ("clang", "clang-14", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19")
_STATUS = re.compile(r"#(\d+)\s+(\w+)\s+cov: (\d+)")
# A frame that carries each case: Ethernet, IPv4 and UDP, whose lengths are the case's.
_ETHERNET = bytes.fromhex("020000000001 020000000002 0800")


class FuzzError(IcelaneError):
    """A fuzzer cannot be run, or none is called so."""


@dataclass(frozen=True)
class Outcome:
    """How a run has ended.

    Attributes:
        target: What was fuzzed.
        executions: How many inputs it had.
        coverage: Edges that these reached.
        found: The file that breaks it; None if none was found.
        said: What the fuzzer said at its end, if it broke.
    """

    target: str
    executions: int
    coverage: int
    found: str | None = None
    said: str = ""


def seeds(name: str) -> list[bytes]:
    """What a target begins with."""
    if name in TARGETS:
        return TARGETS[name][1]
    payloads = [case.payload for case in CASES]
    return payloads if name == "payload" else [framed(each) for each in payloads]


def framed(payload: bytes) -> bytes:
    """A frame with that payload."""
    lengths = [(size + len(payload)).to_bytes(2, "big") for size in (28, 8)]
    ip = b"\x45\0" + lengths[0] + bytes(4) + b"\x40\x11" + bytes(2) + bytes(8)
    return _ETHERNET + ip + bytes([4, 0, 13, 150]) + lengths[1] + bytes(2) + payload


def command(name: str, work: Path) -> list[str]:
    """How a target's fuzzer is called, which is built if it is in C.

    Raises:
        FuzzError: There is no compiler, or no such target.
    """
    if name in TARGETS:
        return [sys.executable, "-m", "tests.fuzz.guided", name]
    if name not in PARSERS:
        raise FuzzError(f"there is no fuzzer {name!r}: choose of {', '.join(ALL)}")
    return [str(build(name, work))]


def build(name: str, work: Path) -> Path:
    """Compile a parser in C with its fuzzer.

    Raises:
        FuzzError: There is no compiler, or it refuses.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILER)), None)
    if compiler is None:
        raise FuzzError("clang is missing: make setup-fuzz, or apt-get install clang-14")
    include = work / "include"
    include.mkdir(parents=True, exist_ok=True)
    uapi = include / "uapi"
    if not uapi.is_symlink():
        uapi.symlink_to("/usr/include")
    program = work / name
    # Packets need no alignment where BPF runs, and the parsers go by that.
    options = [
        "-g",
        "-O1",
        "-Wall",
        "-fsanitize=fuzzer,address,undefined",
        "-fno-sanitize=alignment",
    ]
    options += ["-fno-sanitize-recover=all", f"-I{include}", f"-I{ROOT / 'bpf'}", *PARSERS[name]]
    source = Path(__file__).with_name("parsers.c")
    ran = subprocess.run(
        [compiler, *options, str(source), "-o", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise FuzzError(f"{source.name} does not compile: {ran.stderr[-2000:]}")
    return program


def environment() -> dict[str, str]:
    """Of every fuzzer."""
    oracle = f"exec {shlex.quote(sys.executable)} -m tests.fuzz.oracle"
    return os.environ | {"ICELANE_FUZZ_ORACLE": oracle, "PYTHONPATH": str(ROOT)}


def run(name: str, seconds: int, tell: Callable[[str, int, int], None]) -> Outcome:
    """Fuzz a target for a while, or until something is found.

    Args:
        name: The target.
        seconds: How long.
        tell: Told of the progress: the target, executions, edges covered.

    Raises:
        FuzzError: It cannot be run.
    """
    work = WORK / name
    known = work / "corpus"
    known.mkdir(parents=True, exist_ok=True)
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (known / f"seed-{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory() as found:
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={MAX_LENGTH.get(name, 1500)}",
            f"-artifact_prefix={found}/",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]
        fuzzer = [*command(name, work), *options, str(known), str(CORPUS / name)]
        outcome = _watch(name, fuzzer, tell)
        artifacts = [each for each in Path(found).iterdir() if not each.name.startswith("slow")]
        if not artifacts:
            return outcome
        kept = CORPUS / name / artifacts[0].name
        shutil.copyfile(artifacts[0], kept)
    return Outcome(**(vars(outcome) | {"found": str(kept)}))


def _watch(name: str, fuzzer: Sequence[str], tell: Callable[[str, int, int], None]) -> Outcome:
    """Run a fuzzer to its end, and tell how it gets on."""
    executions = coverage = 0
    last: list[str] = []
    with subprocess.Popen(
        fuzzer, stderr=subprocess.PIPE, text=True, errors="replace", cwd=ROOT, env=environment()
    ) as process:
        for line in process.stderr or ():
            last = [*last[-40:], line]
            if (status := _STATUS.match(line)) is not None:
                executions, coverage = int(status[1]), int(status[3])
                tell(name, executions, coverage)
        code = process.wait()
    said = "".join(last) if code else ""
    if code and executions == 0 and "Test unit written" not in said:
        raise FuzzError(f"the fuzzer of {name} does not run: {said[-2000:]}")
    return Outcome(name, executions, coverage, said=said)


def keep(name: str) -> int:
    """Add the least of what covers more than the kept corpus to it; how many files that is now.

    Raises:
        FuzzError: It cannot be run.
    """
    work = WORK / name
    if name in TARGETS:  # atheris cannot merge: the shortest of what has covered more
        covered = [each for each in (work / "corpus").iterdir() if "seed" not in each.name]
        for each in sorted(covered, key=lambda path: path.stat().st_size)[:KEPT]:
            shutil.copyfile(each, CORPUS / name / each.name)
        return len(list((CORPUS / name).iterdir()))
    fuzzer = [*command(name, work), "-merge=1", str(CORPUS / name), str(work / "corpus")]
    ran = subprocess.run(
        fuzzer, capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
    )
    if ran.returncode:
        raise FuzzError(f"the corpus of {name} cannot be merged: {ran.stderr[-2000:]}")
    return len(list((CORPUS / name).iterdir()))
