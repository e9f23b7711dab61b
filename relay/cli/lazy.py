"""Commands that are imported when they are asked for: most of a short command's time is imports."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.main import get_command, get_group

from relay.cli.command import dress
from relay.cli.errors import Commands


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name, each made when it is looked up for the first time.

    Args:
        places: By the command's name the module that has it: a group's `Typer` is called `app`
            there, a single command is a function of the command's name.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """The command.

        Raises:
            KeyError: There is none of that name.
        """
        if name not in self._made:
            self._made[name] = _command(name, import_module(self._places[name]))
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        """Add a command that is made already."""
        self._places.setdefault(name, "")
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        """Take a command away."""
        del self._places[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        """The names, in their order; nothing is imported."""
        return iter(self._places)

    def __contains__(self, name: object) -> bool:
        """Whether there is one of that name; nothing is imported."""
        return name in self._places

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)


class LazyGroup(Commands):
    """The root of a command line whose commands are lazy.

    A subclass says where they are, and below which heading the help has each.
    """

    places: ClassVar[Mapping[str, str]] = {}
    sections: ClassVar[Mapping[str, Iterable[str]]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = LazyCommands(self.places)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # as click calls it
        """The names of the commands."""
        return list(self.commands)

    def headings(self) -> Iterable[tuple[str, Iterable[str]]]:
        """The names of the commands below headings; those without one stand at the end."""
        named = {name for names in self.sections.values() for name in names}
        rest = [name for name in self.commands if name not in named]
        return [*self.sections.items(), ("Others", rest)]


def _command(name: str, module: Any) -> Any:
    if hasattr(module, "app"):
        made: Any = get_group(dress(module.app))
    else:
        alone = typer.Typer(add_completion=False)
        alone.command(name)(getattr(module, name))
        made = get_command(dress(alone))
    made.name = name
    return made
