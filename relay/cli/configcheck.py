"""What is wrong with a file that an operator wrote, and with those that it names: all of it."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.cli.contradictions import contradictions
from relay.cli.tree import TREE
from relay.config.conflict import ConflictError, written
from relay.config.found import PREFIX, Found, is_path
from relay.config.settings import Settings
from relay.config.toml import read_toml
from relay.errors import ConfigError

# What an option has and a setting of a file has not; a path may have it anywhere else.
_OPTION = re.compile(r"(?<![^\s(`'])--(?=[a-z])")
# Before a place, or nothing, such as ``registry ``; and behind the file of one.
_WHAT, _LINE = re.compile(r"(?:[A-Za-z ]+ )?"), re.compile(r":(\d+): ")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, with where.

    Attributes:
        text: What it is.
        file: The file that it begins with; None where it is about none.
        line: The line there, if there is one.
    """

    text: str
    file: str | None = None
    line: int | None = None

    @property
    def place(self) -> str:
        """``FILE:LINE`` or ``FILE``; nothing where it is about no file."""
        return ":".join(str(each) for each in (self.file, self.line) if each is not None)

    def as_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {"file": self.file, "line": self.line, "text": self.text}


@dataclass
class Report:
    """What was found.

    Attributes:
        file: The file.
        kind: What it has: settings, registry, back ends, regions, keys, or API keys.
        sections: The services whose settings were looked at.
        errors: With these a service does not start.
        warnings: What does not fit, or is not there yet.
        files: The files that were looked at: this one, and those that it names.
    """

    file: Path
    kind: str = "settings"
    sections: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.files = [self.file]

    def as_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "file": str(self.file),
            "kind": self.kind,
            "sections": self.sections,
            "errors": [located(each, self.files).as_json() for each in self.errors],
            "warnings": [located(each, self.files).as_json() for each in self.warnings],
        }


def located(problem: str, files: Iterable[Path]) -> Problem:
    """A problem with the file and line that it begins with, if it does. Pure.

    Args:
        problem: The problem, as people read it.
        files: Those that it may be about. A path may have spaces and colons, so that nothing but
            the path itself tells where it ends; of several that fit, the longest one is meant.
    """
    for name in sorted(map(str, files), key=len, reverse=True):
        what, found, behind = problem.partition(name)
        if not found or _WHAT.fullmatch(what) is None:
            continue
        if (line := _LINE.match(behind)) is not None:
            return Problem(behind[line.end() :], name, int(line[1]))
        if not what and behind.startswith(": "):
            return Problem(behind.removeprefix(": "), name)
    return Problem(problem)


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
        problems += [_in_section(each, report, name) for each in wrong]
        if not found.problems and not wrong and report.sections:
            usable[name] = found
    report.errors += dict.fromkeys(problems)
    settings = {name: found.settings(()) for name, found in usable.items()}
    for name, found in usable.items():
        uses = Uses(report, found, settings[name])
        report.files += uses.files()
        check_uses(uses, environment)
    given = {name: found.sources for name, found in usable.items()}
    for each in contradictions(settings, given):
        told = usable[each.section].source(each.name).tell(each.name, each.text)
        report.warnings.append(_in_section(told, report, each.section))


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


def _in_section(problem: str, report: Report, section: str) -> str:
    """A problem that has no place of its own, such as something that is missing."""
    if problem.startswith(PREFIX) or located(problem, report.files).file is not None:
        return problem
    return f"{report.file}: [{section}] {problem}"


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

    def files(self) -> Iterator[Path]:
        """The files that settings name."""
        for name, info in self.found.model.model_fields.items():
            if is_path(info):
                value = getattr(self.settings, name)
                yield from value if isinstance(value, tuple) else filter(None, [value])

    def attempt(self, use: Callable[[], object]) -> None:
        """Note why this cannot be done, if it cannot."""
        section = self.found.model.section
        try:
            use()
        except ConflictError as error:
            sentences = (each.sentence(named=_quoted) for each in error.conflicts)
            self.report.errors += (f"{self.report.file}: [{section}] {each}" for each in sentences)
        except ConfigError as error:
            problems = (_OPTION.sub("", each) for each in error.problems)
            self.report.errors += (_in_section(each, self.report, section) for each in problems)

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
