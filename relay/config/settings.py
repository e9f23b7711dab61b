"""Settings of a command: from a TOML file, the environment and options, in rising weight.

One tree serves all commands. It has a section for each service, ``[relay]``, ``[transceiver]``,
``[signaling]`` and ``[up]``; what stands above the sections holds for all that have such a
setting, so that a file for one service needs no section. The environment has the same names:
``ICELANE_RELAY_MAX_FLOWS``, or ``ICELANE_KEYS`` for all sections.

All mistakes are told at once, each with where it was made and what to write.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from relay.config.conflict import option
from relay.config.toml import read_toml, unknown
from relay.errors import ConfigError

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


class Settings(BaseModel):
    """The settings of one section. A subclass declares them with `relay.config.fields.setting`."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid")

    section: ClassVar[str]

    @classmethod
    def load(
        cls,
        options: Mapping[str, Any],
        *,
        tree: "Tree",
        file: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Read this section.

        Args:
            options: The settings that the command line can give, None for those it did not give.
            tree: All sections.
            file: The TOML file, if there is one.
            environment: The environment's variables.

        Raises:
            ConfigError: The file cannot be read, or settings are unknown, missing or wrong.
        """
        found = _Found(cls, tree)
        if file is not None:
            found.add_file(file)
        found.add_environment(environment or {})
        for name, value in options.items():
            if value not in (None, []):
                found.add(name, value, option(name))
        return found.settings(options)


Tree = Mapping[str, type[Settings]]  # by section
Model = TypeVar("Model", bound=Settings)


@dataclass
class _Found(Generic[Model]):
    """Settings of a model as they are found, where they stand, and what is wrong with them."""

    model: type[Model]
    tree: Tree
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, value: Any, place: str) -> None:
        """Take a value in place of one that was found before."""
        self.values[name] = value
        self.places[name] = place

    def add_file(self, file: Path) -> None:
        """Take the values of a TOML file. Relative paths in it start where it is."""
        document = read_toml(file, "settings")
        common = {key: value for key, value in document.items() if key not in self.tree}
        anywhere = {name for model in self.tree.values() for name in model.model_fields}
        self._add_table(common, file.parent, f"{file}: ", anywhere)
        for section, model in self.tree.items():
            table = document.get(section, {})
            if not isinstance(table, dict):
                self.problems.append(f"{file}: write [{section}] above the settings of {section}")
                continue
            mine = section == self.model.section
            self._add_table(
                table, file.parent, f"{file}: [{section}] ", set(model.model_fields), mine=mine
            )

    def _add_table(
        self,
        table: Mapping[str, Any],
        directory: Path,
        place: str,
        known: Collection[str],
        *,
        mine: bool = True,
    ) -> None:
        for key, value in table.items():
            name = key.replace("-", "_")
            info = self.model.model_fields.get(name)
            if name not in known:
                self.problems.append(place + unknown(key, known, "setting"))
            elif mine and info is not None:
                beside = isinstance(value, str) and value[:1] not in ("", "~") and _is_path(info)
                self.add(name, str(directory / value) if beside else value, place + key)

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
                self.add(name, value, variable)
            elif variable.startswith(own):
                known = [own + each.upper() for each in self.model.model_fields]
                self.problems.append(unknown(variable, known, "variable"))

    def settings(self, offered: Collection[str]) -> Model:
        """The settings, if nothing is wrong with them."""
        try:
            settings = self.model.model_validate(self.values)
        except ValidationError as error:
            self.problems += dict.fromkeys(self._explained(error, offered))
        if self.problems:
            raise ConfigError(*self.problems)
        return settings

    def _explained(self, error: ValidationError, offered: Collection[str]) -> Iterator[str]:
        for each in error.errors(include_url=False):
            name = str(each["loc"][0])
            if each["type"] == "missing":
                extra = self.model.model_fields[name].json_schema_extra
                metavar = extra["metavar"] if isinstance(extra, dict) else ""
                written = f"{option(name)} {metavar}" if name in offered else f"the setting {name}"
                yield f"{written} is missing: {self.model.model_fields[name].description}"
            else:
                yield f"{self.places[name]}: {_in_words(each)}"


def _in_words(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    known = _SAID.get(error["type"].partition("_")[0])
    return known.format_map(error.get("ctx", {})) if known else error["msg"]


def _is_path(info: FieldInfo) -> bool:
    """Whether a setting is a path, or one that may be missing."""
    kinds = (info.annotation, *get_args(info.annotation))
    return any(Path in (kind, *get_args(kind)) for kind in kinds)


def is_list(info: FieldInfo) -> bool:
    """Whether a setting takes several values."""
    return get_origin(info.annotation) is tuple
