"""Settings of a command: from a TOML file, the environment and options, in rising weight.

One tree serves all commands. It has a section for each service, ``[relay]``, ``[transceiver]``,
``[signaling]`` and ``[up]``; what stands above the sections holds for all that have such a
setting, so that a file for one service needs no section. The environment has the same names:
``ICELANE_RELAY_MAX_FLOWS``, or ``ICELANE_KEYS`` for all sections.

All mistakes are told at once, each with where it was made and what to write.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from relay.config.found import Found


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
        return cls.find(options, tree=tree, file=file, environment=environment).settings(options)

    @classmethod
    def find(
        cls,
        options: Mapping[str, Any],
        *,
        tree: "Tree",
        file: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Found[Self]:
        """Look for the settings of this section, with where each comes from; see `load`.

        Raises:
            ConfigError: The file cannot be read.
        """
        found = Found(cls, tree)
        if file is not None:
            found.add_file(file)
        found.add_environment(environment or {})
        found.add_options(options)
        return found


Tree = Mapping[str, type[Settings]]  # by section
