"""The settings of a section as they are found, with where each comes from, and what is wrong."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from relay.config.conflict import option, written
from relay.config.places import Places
from relay.config.toml import read_toml, unknown
from relay.errors import ConfigError

if TYPE_CHECKING:
    from relay.config.settings import Settings, Tree

PREFIX = "ICELANE_"

# pydantic's words for what is wrong, in ours.
_SAID = {
    "bool": "must be true or false",
    "float": "must be a number",
    "finite": "must be a number",
    "int": "must be a whole number",
    "greater": "must be at least {ge}",
    "less": "must be at most {le}",
}

Model = TypeVar("Model", bound="Settings")


class Kind(StrEnum):
    """What a value may come from, in rising weight."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from.

    Attributes:
        kind: From what.
        place: Where there: ``FILE:LINE``, a variable, an option; nothing of a default.
        section: The section of a file that it stands in; nothing above all sections.
    """

    kind: Kind = Kind.DEFAULT
    place: str = ""
    section: str = ""

    def __str__(self) -> str:
        """It for people."""
        return self.place or self.kind

    def tell(self, name: str, problem: str) -> str:
        """A problem with the value of a setting."""
        if self.kind is Kind.FILE:
            return f"{self.place}: {_in(self.section)}{written(name)}: {problem}"
        return f"{self.place}: {problem}" if self.place else f"{written(name)}: {problem}"


@dataclass
class Found(Generic[Model]):
    """The settings of a section as they are found.

    Attributes:
        model: The section.
        tree: All sections.
        values: What was found, as it was written.
        sources: Where.
        problems: What is wrong with what was found, but for values: `settings` looks at them.
    """

    model: type[Model]
    tree: "Tree"
    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def source(self, name: str) -> Source:
        """Where the value of a setting comes from."""
        return self.sources.get(name, Source())

    def add_file(self, file: Path) -> None:
        """Take the values of a TOML file. Relative paths in it start where it is.

        Raises:
            ConfigError: It cannot be read.
        """
        document = read_toml(file, "settings")
        places = Places(file)
        common = {key: value for key, value in document.items() if key not in self.tree}
        anywhere = {name for model in self.tree.values() for name in model.model_fields}
        self._add_table(common, file, places, anywhere)
        for section, model in self.tree.items():
            table = document.get(section, {})
            if not isinstance(table, dict):
                self.problems.append(
                    places.tell(f"write [{section}] above the settings of {section}", section)
                )
                continue
            self._add_table(table, file, places, set(model.model_fields), section)

    def _add_table(
        self,
        table: Mapping[str, Any],
        file: Path,
        places: Places,
        known: Collection[str],
        section: str = "",
    ) -> None:
        mine = section in ("", self.model.section)
        for key, value in table.items():
            name = key.replace("-", "_")
            info = self.model.model_fields.get(name)
            keys = (section, key) if section else (key,)
            if name not in known:
                near = unknown(key, map(written, known), "setting")
                self.problems.append(places.tell(_in(section) + near, *keys))
            elif mine and info is not None:
                beside = isinstance(value, str) and value[:1] not in ("", "~") and is_path(info)
                self.values[name] = str(file.parent / value) if beside else value
                self.sources[name] = Source(Kind.FILE, places.at(*keys), section)

    def add_environment(self, environment: Mapping[str, str]) -> None:
        """Take the variables that are ours; a list has commas between its values."""
        own = f"{PREFIX}{self.model.section.upper()}_"
        for variable in sorted(environment, key=lambda name: name.startswith(own)):
            name = variable.removeprefix(own if variable.startswith(own) else PREFIX).lower()
            if not variable.startswith(PREFIX) or not environment[variable]:
                continue
            if name in self.model.model_fields:
                text = environment[variable]
                value = text.split(",") if is_list(self.model.model_fields[name]) else text
                self.values[name] = value
                self.sources[name] = Source(Kind.ENVIRONMENT, variable)
            elif variable.startswith(own):
                known = [own + each.upper() for each in self.model.model_fields]
                self.problems.append(unknown(variable, known, "variable"))

    def add_options(self, options: Mapping[str, Any]) -> None:
        """Take the options that were given; the others are None, or empty lists."""
        for name, value in options.items():
            if value not in (None, []):
                self.values[name] = value
                self.sources[name] = Source(Kind.OPTION, option(name))

    def settings(self, offered: Collection[str]) -> Model:
        """The settings, if nothing is wrong with them.

        Args:
            offered: The settings that the command has options for.

        Raises:
            ConfigError: Something is: it names all that is.
        """
        problems = [*self.problems, *self.wrong_values(offered)]
        if problems:
            raise ConfigError(*problems)
        return self.model.model_validate(self.values)

    def wrong_values(self, offered: Collection[str] = ()) -> list[str]:
        """What is wrong with values, and what is missing."""
        try:
            self.model.model_validate(self.values)
        except ValidationError as error:
            return list(dict.fromkeys(self._explained(error, offered)))
        return []

    def value(self, name: str) -> Any:
        """The value of a setting as it takes effect; as it was written, where one is wrong."""
        default = self.model.model_fields[name].get_default()
        try:
            return getattr(self.model.model_validate(self.values), name)
        except ValidationError:
            return self.values.get(name, None if default is PydanticUndefined else default)

    def _explained(self, error: ValidationError, offered: Collection[str]) -> Iterator[str]:
        for each in error.errors(include_url=False):
            name = str(each["loc"][0])
            if each["type"] == "missing":
                extra = self.model.model_fields[name].json_schema_extra
                metavar = extra["metavar"] if isinstance(extra, dict) else ""
                called = f"the setting {written(name)}"
                if name in offered:
                    called = f"{option(name)} {metavar}"
                yield f"{called} is missing: {self.model.model_fields[name].description}"
            else:
                yield self.source(name).tell(name, _in_words(each))


def is_list(info: FieldInfo) -> bool:
    """Whether a setting takes several values."""
    return get_origin(info.annotation) is tuple


def is_path(info: FieldInfo) -> bool:
    """Whether a setting is a path, or one that may be missing."""
    kinds = (info.annotation, *get_args(info.annotation))
    return any(Path in (kind, *get_args(kind)) for kind in kinds)


def _in(section: str) -> str:
    return f"[{section}] " if section else ""


def _in_words(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    known = _SAID.get(error["type"].partition("_")[0])
    return known.format_map(error.get("ctx", {})) if known else error["msg"]
