"""How long the steps of a start took, for the log and for `icelane relay status`. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from relay.dataplane.hostfacts import HostFacts


@dataclass(frozen=True, slots=True)
class StartTimes:
    """The steps of a start, in whole milliseconds; None for a step that there was not.

    Attributes:
        total: From the command until everything was done.
        load: Making maps, and having the kernel verify the programs, compiling included.
        attach: Attaching the program to interfaces.
        restore: Restoring flows from the mirror, after all else.
        flows: How many flows were restored.
    """

    total: int = 0
    load: int | None = None
    attach: int | None = None
    restore: int | None = None
    flows: int | None = None

    @classmethod
    def of(cls, facts: HostFacts, total: float) -> Self:
        """The steps before flows are restored.

        Args:
            facts: What loading found on the host.
            total: Seconds since the command.
        """
        load, attach = facts.milliseconds, facts.attach_milliseconds
        if load is not None and attach is not None:
            load -= attach
        return cls(_ms(total), load, attach)

    def restored(self, seconds: float, flows: int) -> Self:
        """With the flows restored, which took so many seconds."""
        return replace(self, total=self.total + _ms(seconds), restore=_ms(seconds), flows=flows)

    def as_json(self) -> Mapping[str, Any]:
        """As plain data, with the unit in the names."""
        named = asdict(self)
        flows = named.pop("flows")
        return {f"{name}_ms": value for name, value in named.items()} | {"restored_flows": flows}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild what `as_json` returned."""
        named = {name.removesuffix("_ms"): value for name, value in data.items()}
        return cls(flows=named.pop("restored_flows"), **named)

    def __str__(self) -> str:
        """For people, in one line."""
        steps = [
            f"{name} {value}"
            for name, value in (("load", self.load), ("attach", self.attach))
            if value is not None
        ]
        if self.restore is not None:
            steps.append(f"restore of {self.flows:,} flows {self.restore}")
        said = f"started in {self.total} ms"
        return f"{said}: {', '.join(steps)}" if steps else said


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
