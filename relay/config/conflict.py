"""Settings that are right one by one and do not go together."""

import string
from collections.abc import Callable, Collection
from dataclasses import dataclass

from relay.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Conflict:
    """What is wrong, and what may be done about it.

    Attributes:
        text: What is wrong.
        remedies: What helps, in the order of preference. A setting is written in braces,
            ``{max_flows}``: a command tells only of settings that it has.
    """

    text: str
    remedies: tuple[str, ...] = ()

    def sentence(
        self, offered: Collection[str] | None = None, named: Callable[[str], str] | None = None
    ) -> str:
        """The conflict for people.

        Args:
            offered: The settings that the command has; None for all.
            named: How a setting is written; as an option, if it is not said.
        """
        named = named or option
        helpful = [
            remedy.format_map({name: named(name) for name in _settings_in(remedy)})
            for remedy in self.remedies
            if offered is None or _settings_in(remedy) <= set(offered)
        ]
        return ": ".join(filter(None, [self.text, ", or ".join(helpful)]))


class ConflictError(ConfigError):
    """Settings do not go together.

    Attributes:
        conflicts: All that was found.
    """

    def __init__(self, *conflicts: Conflict, offered: Collection[str] | None = None) -> None:
        super().__init__(*(each.sentence(offered) for each in conflicts))
        self.conflicts = conflicts

    def among(self, offered: Collection[str]) -> "ConflictError":
        """The same in the words of a command that has only these settings."""
        return ConflictError(*self.conflicts, offered=offered)


def written(name: str) -> str:
    """How a setting is written in a file: ``max-flows``."""
    return name.replace("_", "-")


def option(name: str) -> str:
    """How a setting is written on the command line: ``--max-flows``."""
    return f"--{written(name)}"


def _settings_in(remedy: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(remedy) if name}
