"""What is wrong with a file that an operator wrote, and with those that it names: all of it."""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.cli.contradictions import contradictions
from relay.cli.tree import TREE
from relay.config.conflict import ConflictError, written
from relay.config.found import PREFIX, Found
from relay.config.settings import Settings
from relay.config.toml import read_toml
from relay.errors import ConfigError

_PLACE = re.compile(r"^(?:[a-z ]+ )?(?P<file>\S+?):(?P<line>\d+): (?P<text>.*)", re.DOTALL)


@dataclass
class Report:
    """What was found.

    Attributes:
        file: The file.
        kind: What it has: settings, registry, back ends, regions, keys, or API keys.
        sections: The services whose settings were looked at.
        errors: With these a service does not start.
        warnings: What does not fit, or is not there yet.
    """

    file: Path
    kind: str = "settings"
    sections: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "file": str(self.file),
            "kind": self.kind,
            "sections": self.sections,
            "errors": [located(each) for each in self.errors],
            "warnings": [located(each) for each in self.warnings],
        }


def located(problem: str) -> dict[str, Any]:
    """A problem with the file and line that it begins with, if it does. Pure."""
    place = _PLACE.match(problem)
    if place is None:
        return {"file": None, "line": None, "text": problem}
    return {"file": place["file"], "line": int(place["line"]), "text": place["text"]}


def check(file: Path, environment: Mapping[str, str], wanted: Collection[str] = ()) -> Report:
    """Look at a file of any kind, and at those that it names.

    Args:
        file: The file.
        environment: What services would find in it, such as a key.
        wanted: The services whose settings it must have; none for those that it has.
    """
    report = Report(file)
    try:
        document = read_toml(file, "file")
        report.kind = kind_of(document)
        if report.kind == "settings":
            _check_settings(report, document, environment, wanted)
        else:
            _load(report.kind, file, environment)
    except ConfigError as error:
        report.errors += error.problems
    return report


def kind_of(document: Mapping[str, Any]) -> str:
    """What a file is by its tables. Pure."""
    arrays = {name for name, value in document.items() if isinstance(value, list)}
    for kind, names in {
        "registry": {"relay", "transceiver", "cluster"},
        "back ends": {"backend"},
        "API keys": {"key"},
    }.items():
        if any(isinstance(each, dict) for name in arrays & names for each in document[name]):
            return kind
    if document.keys() & {"prefixes", "next", "spill"}:
        return "regions"
    return "keys" if "signing" in document else "settings"


def _load(kind: str, file: Path, environment: Mapping[str, str]) -> None:
    """Read a file that is none of settings.

    Raises:
        ConfigError: It cannot be used: it names all that is wrong.
    """
    from relay.config.keyfile import load_keys
    from relay.config.registry import Registry
    from signaling.auth.privatefiles import load_api_keys
    from signaling.regions import Regions
    from transceiver.bridge.table import Table

    readers: dict[str, Callable[[], object]] = {
        "registry": lambda: Registry.load(file),
        "back ends": lambda: Table.load(file, environment),
        "regions": lambda: Regions.load(file),
        "keys": lambda: load_keys(file),
        "API keys": lambda: load_api_keys(file),
    }
    readers[kind]()


def _check_settings(
    report: Report,
    document: Mapping[str, Any],
    environment: Mapping[str, str],
    wanted: Collection[str],
) -> None:
    from relay.cli.configfiles import check_uses

    described = _described(document)
    report.sections = [name for name in TREE if name in (wanted or described)]
    usable: dict[str, Found[Settings]] = {}
    problems: list[str] = []
    for name in report.sections or TREE:
        found = TREE[name].find({}, tree=TREE, file=report.file, environment=environment)
        problems += found.problems
        wrong = found.wrong_values()
        if not report.sections:  # for a service that is not known nothing is missing
            wrong = [each for each in wrong if " is missing: " not in each]
        problems += [_in_section(each, report.file, name) for each in wrong]
        if not found.problems and not wrong and report.sections:
            usable[name] = found
    report.errors += dict.fromkeys(problems)
    settings = {name: found.settings(()) for name, found in usable.items()}
    for name, found in usable.items():
        uses = Uses(report, found, settings[name])
        check_uses(uses, environment)
    given = {name: found.sources for name, found in usable.items()}
    for each in contradictions(settings, given):
        told = usable[each.section].source(each.name).tell(each.name, each.text)
        report.warnings.append(_in_section(told, report.file, each.section))


def _described(document: Mapping[str, Any]) -> Collection[str]:
    """The services that a file of settings describes."""
    sections = [name for name in TREE if isinstance(document.get(name), dict)]
    if sections:
        return sections
    common = {key.replace("-", "_") for key in document}
    needed = {
        name: {each for each, info in model.model_fields.items() if info.is_required()}
        for name, model in TREE.items()
    }
    return [name for name, names in needed.items() if names and names <= common]


def _in_section(problem: str, file: Path, section: str) -> str:
    """A problem that has no place of its own, such as something that is missing."""
    if problem.startswith(PREFIX) or _PLACE.match(problem):
        return problem
    return f"{file}: [{section}] {problem}"


@dataclass
class Uses:
    """What a service makes of its settings, and what is wrong with that.

    Attributes:
        report: Where it is noted.
        found: Where the settings come from.
        settings: The settings, which are right one by one.
    """

    report: Report
    found: Found[Settings]
    settings: Any

    def attempt(self, use: Callable[[], object]) -> None:
        """Note why this cannot be done, if it cannot."""
        section = self.found.model.section
        try:
            use()
        except ConflictError as error:
            sentences = (each.sentence(named=_quoted) for each in error.conflicts)
            self.report.errors += (f"{self.report.file}: [{section}] {each}" for each in sentences)
        except ConfigError as error:
            problems = (each.replace("--", "") for each in error.problems)
            self.report.errors += (
                _in_section(each, self.report.file, section) for each in problems
            )

    def is_there(self, *names: str) -> bool:
        """Whether the files that settings name are there, if any; notes those that are not."""
        missing = []
        for name in names:
            paths = getattr(self.settings, name)
            for path in paths if isinstance(paths, tuple) else filter(None, [paths]):
                if not os.path.lexists(path):
                    text = f"{path} is not there"
                    missing.append(self.found.source(name).tell(name, text))
        self.report.warnings += [each for each in missing if each not in self.report.warnings]
        return not missing


def _quoted(name: str) -> str:
    return f"`{written(name)}`"
