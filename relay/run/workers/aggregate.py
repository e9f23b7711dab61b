"""What several workers say of themselves, as one answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relay.admin import transport as admin
from relay.admin.busiest import Question, combined
from relay.errors import AdminError
from relay.wire.keys import KeyRing

_SUMS = ("flow_counts", "used", "limits")
_OWN = ("loop", "flow_counts", "tasks")


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


async def overview(paths: Sequence[Path], head: Mapping[str, Any]) -> dict[str, Any]:
    """What all workers know of themselves: `head` with their sums, and for each what is its own."""
    told = [piece for path in paths async for piece in answer_of(path, "overview")]
    own = {each["pid"]: {name: each[name] for name in _OWN} for each in told}
    mirrors = [each["mirror"] for each in told if each["mirror"]]
    return {
        **head,
        **{name: add_up([each[name] for each in told]) for name in _SUMS},
        "counters": add_up([head["counters"], *(each["counters"] for each in told)]),
        "dataplane_counters": {},
        "workers": [{**each, **own.get(each["pid"], {})} for each in head["workers"]],
        "mirror": {
            "lag_seconds": max(each["lag_seconds"] for each in mirrors),
            "waiting": sum(each["waiting"] for each in mirrors),
        }
        if mirrors
        else None,
    }


async def busiest(paths: Sequence[Path], request: Mapping[str, Any]) -> dict[str, Any]:
    """The flows that move most of all workers, who look at the same time."""
    question = Question.parse(request)
    fields = {name: value for name, value in request.items() if name != "command"}

    async def ask(path: Path) -> list[dict[str, Any]]:
        return [piece async for piece in answer_of(path, "busiest", **fields)]

    told = [answer for each in await asyncio.gather(*map(ask, paths)) for answer in each]
    return combined(told, question)


async def answer_of(path: Path, command: str, **fields: object) -> AsyncIterator[dict[str, Any]]:
    """A worker's answer, in pieces; nothing of one that is being started again."""
    try:
        async for piece in admin.pieces(path, command, **fields):
            yield piece
    except AdminError:
        return
