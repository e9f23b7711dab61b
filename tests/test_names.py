"""A name at the top of a file is given once.

A test that names its data like a test further down gets that one's data when it runs, which it may
even pass with. Linters see this of functions, not of values.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [
    path
    for package in ("relay", "transceiver", "signaling", "tests", "vagrant")
    for path in sorted((ROOT / package).rglob("*.py"))
]


def given(module: ast.Module) -> Iterator[str]:
    """The names that a module's own statements give, in order; not those within a condition."""
    for statement in module.body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Assign():
                for target in statement.targets:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                            yield part.id
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def twice(module: ast.Module) -> list[str]:
    names = list(given(module))
    return sorted({name for name in names if names.count(name) > 1 and name != "_"})


@pytest.mark.parametrize("package", ["relay", "transceiver", "signaling", "tests", "vagrant"])
def test_no_name_is_given_twice(package: str) -> None:
    files = [path for path in FILES if path.relative_to(ROOT).parts[0] == package]
    assert files
    found = {path.relative_to(ROOT): twice(ast.parse(path.read_text())) for path in files}
    assert {str(path): names for path, names in found.items() if names} == {}


def test_a_name_that_is_given_twice_is_seen() -> None:
    module = ast.parse("A = 1\nB: int = 2\ndef f(): A = 3\n(A, C) = 4, 5\nclass B: D = 1\nD = 2\n")
    assert twice(module) == ["A", "B"]
