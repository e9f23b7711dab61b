"""Whether a command that is shown would be taken: its options, arguments, targets exist."""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from typer.main import get_command

from relay.cli.main import app
from relay.errors import ConfigError, IcelaneError
from tests.docs.shell import ROOT

_LEFT_OUT = ("...", "\N{HORIZONTAL ELLIPSIS}")
_INTERPRETERS = ("python", "python3", ".venv/bin/python", ".venv/bin/python3")
_RECIPE = r"^{target}:.*\n((?:\t.*\n)*)"


def complaint(words: Sequence[str], *, whole: bool = True) -> str | None:
    """What is wrong with a command; None for nothing, and for a program of somebody else.

    Args:
        words: The command.
        whole: Whether it is shown as it is typed: in a text, what stands behind an option or a
            command may be left out.
    """
    program, *rest = words
    program = program.removeprefix(".venv/bin/")
    if program == "icelane":
        return _of_tree(get_command(app), rest, whole=whole)
    if program in _INTERPRETERS and rest[:1] == ["-m"] and _is_ours(rest[1]):
        try:
            root = _app(rest[1])
        except ModuleNotFoundError as error:
            return str(error)
        return root and _of_tree(root, rest[2:], whole=whole)
    if program == "make":
        return next(_of_make(rest, whole=whole), None)
    return None


def _is_ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in ("tests", "vagrant")


@cache
def _app(module: str) -> Any:
    """The commands of a program of ours; None where it has another kind of command line."""
    imported = importlib.import_module(module)
    if hasattr(imported, "__path__"):
        imported = importlib.import_module(f"{module}.__main__")
    found = getattr(imported, "app", None)
    return found and get_command(found)


def _of_tree(root: Any, words: Sequence[str], *, whole: bool) -> str | None:
    command, path = root, ""
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith(("-", "[")):
        if rest[0] in _LEFT_OUT or (not whole and rest[0].isupper()):
            return None
        names = _alternatives(rest[0]) if not whole else [rest[0]]
        for name in names:
            if name not in command.commands:
                return f"there is no command {f'{path} {name}'.strip()}"
        path, command = f"{path} {names[0]}".strip(), command.commands[names[0]]
        rest = rest[1:]
    if whole and not any(word in _LEFT_OUT for word in rest):
        return _parsed(command, path, rest)
    return _known_options(command, path, rest)


def _parsed(command: Any, path: str, words: list[str]) -> str | None:
    try:
        command.make_context(path or command.name, words)
    except ConfigError as error:
        return next((text for text in _missing(command, error)), None)
    except IcelaneError:  # it has looked at what runs on this machine, which is no matter here
        return None
    except Exception as error:  # noqa: BLE001  # typer has no public name for what it raises here
        if type(error).__name__ in ("Exit", "NoArgsIsHelpError"):  # --version, --help
            return None
        said = str(error.format_message()) if hasattr(error, "format_message") else repr(error)
        return None if "(env var: " in said else said  # may have been exported before
    return None


def _missing(command: Any, error: ConfigError) -> Iterator[str]:
    """What lacks, and cannot have been exported before."""
    exported = {opt for each in command.params if each.envvar for opt in each.opts}
    for text in error.problems:
        if " is missing: " in text and text.split()[0] not in exported:
            yield text


def _known_options(command: Any, path: str, words: Sequence[str]) -> str | None:
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    known |= {"--help", "-h"}
    for word in words:
        option = word.strip("[]").partition("=")[0]
        if option.startswith("-") and any(each not in known for each in _alternatives(option)):
            return f"{path} has no option {option}"
    return None


def _alternatives(word: str) -> list[str]:
    return word.split("|")


def _of_make(words: Sequence[str], *, whole: bool) -> Iterator[str]:
    if words[:1] == ["-C"]:  # in another checkout
        words = words[2:]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    targets = [word for word in words if "=" not in word and word not in _LEFT_OUT]
    for name in variables:
        if not re.search(rf"\$\(({name}\b|addprefix .*{name})", makefile):
            yield f"the Makefile has no variable {name}"
    for target in targets:
        if re.fullmatch(r"[A-Z]+|[a-z-]*\*", target):
            continue  # a word for any target
        recipe = re.search(_RECIPE.format(target=re.escape(target)), makefile, re.MULTILINE)
        if recipe is None:
            yield f"the Makefile has no target {target}"
        elif "ARGS" in variables:
            yield from _arguments(recipe[1], variables, whole=whole)


def _arguments(recipe: str, variables: Mapping[str, str], *, whole: bool) -> Iterator[str]:
    """What is wrong with the arguments that a target hands on to a program of ours."""
    run = re.search(r"-m ((?:tests|vagrant)\S*)([^$]*).*\$\(ARGS\)", recipe)
    if run is None:
        return
    words = ["python", "-m", run[1], *run[2].split(), *variables["ARGS"].split()]
    wrong = complaint(words, whole=whole)
    if wrong:
        yield wrong
