"""The one way to read a TOML file that an operator wrote."""

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from relay.errors import ConfigError
from relay.files import unreadable


def read_toml(
    path: Path, what: str, *, error: type[ConfigError] = ConfigError, remedy: str = ""
) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: The file.
        what: What it is, such as ``registry``, for the texts of errors.
        error: What is raised.
        remedy: What to do when there is no such file.

    Raises:
        ConfigError: The file cannot be read or is not TOML; it is of the type `error`.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors of Windows put a BOM
    except OSError as cause:
        raise error(f"cannot read {what} {path}: {unreadable(cause, missing=remedy)}") from None
    except UnicodeDecodeError:
        raise error(f"{what} {path} is not text (UTF-8)") from None
    except tomllib.TOMLDecodeError as cause:
        raise error(f"{what} {path} is not valid TOML: {cause}") from None
    except ValueError:  # Python reads no number of more digits (sys.get_int_max_str_digits)
        raise error(f"{what} {path} has a number that is too long: write a shorter one") from None
    except RecursionError:
        raise error(f"{what} {path} has arrays or tables that lie too deep in each other") from None


def unknown(name: str, known: Iterable[str], kind: str = "key") -> str:
    """What to say of a name that nobody knows: the nearest one that is known, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
    return f"unknown {kind} {name}: {hint}"
