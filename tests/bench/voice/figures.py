"""The figures of calls, as a file keeps them. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from tests.bench.density.measure import Result as Carried
from tests.bench.errors import BenchError
from tests.bench.loss.measure import Result as Heard


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of calls.

    Attributes:
        command: What measured it.
        machine: Where; see `tests.bench.compare.machine`.
        carried: Of numbers of calls on one core.
        heard: Of networks and playouts.
        began: Of clients and variants, as `tests.bench.setup.measure.Row.dump` has it.
        round_trip_ms: The link's of those.
    """

    command: str
    machine: Mapping[str, str]
    carried: Sequence[Carried]
    heard: Sequence[Heard]
    began: Sequence[Mapping[str, Any]]
    round_trip_ms: float

    def dumps(self) -> str:
        """The text of a file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what `dumps` wrote.

        Raises:
            BenchError: It is something else.
        """
        try:
            data = json.loads(text)
            return cls(
                command=data["command"],
                machine=data["machine"],
                carried=[Carried(**each) for each in data["carried"]],
                heard=[Heard(**each) for each in data["heard"]],
                began=data["began"],
                round_trip_ms=data["round_trip_ms"],
            )
        except (ValueError, KeyError, TypeError):
            raise BenchError("this is not what `python -m tests.bench voice` writes") from None
