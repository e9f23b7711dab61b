"""What several workers say of themselves, as one answer."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relay.admin import transport as admin
from relay.errors import AdminError
from relay.wire.keys import KeyRing


def add_up(numbers: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The sums by name, sorted."""
    total: Counter[str] = Counter()
    for each in numbers:
        total.update(each)
    return dict(sorted(total.items()))


def ask_all(paths: Sequence[Path], command: str) -> dict[str, int]:
    """Numbers of all workers, added up; one that is being started again has none. It may block."""
    answers = []
    for path in paths:
        try:
            answers.append(admin.ask(path, command))
        except AdminError:
            continue
    return add_up(answers)


async def numbers(paths: Sequence[Path], command: str) -> dict[str, int]:
    """The same without blocking."""
    return add_up([piece for path in paths async for piece in answer_of(path, command)])


async def keys(paths: Sequence[Path], ring: KeyRing) -> dict[str, Any]:
    """The key slots that every worker verifies by; one that is being started again will."""
    slots = set(ring.slots)
    for path in paths:
        async for piece in answer_of(path, "keys"):
            slots &= set(piece["slots"])
    return {"slots": sorted(slots), "signing": ring.signing_slot}


async def status(
    paths: Sequence[Path], head: Mapping[str, Any]
) -> AsyncIterator[Mapping[str, Any]]:
    """The status of all workers, in pieces: `head` with their counters, then their flows."""
    counters = add_up([head["counters"], await numbers(paths, "counters")])
    yield {**head, "counters": counters, "dataplane_counters": {}, "flows": []}
    for path in paths:
        async for piece in answer_of(path, "status"):
            yield {"flows": piece["flows"]}


async def answer_of(path: Path, command: str, **fields: object) -> AsyncIterator[dict[str, Any]]:
    """A worker's answer, in pieces; nothing of one that is being started again."""
    try:
        async for piece in admin.pieces(path, command, **fields):
            yield piece
    except AdminError:
        return
