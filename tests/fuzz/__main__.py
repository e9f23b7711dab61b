"""``python -m tests.fuzz``, which `make fuzz` runs."""

import json
import time
from typing import Annotated

import typer

from tests.commands import OneCommand
from tests.fuzz.run import ALL, CORPUS, Outcome, keep, run

app = typer.Typer(pretty_exceptions_enable=False)
PROGRESS_EVERY = 10.0  # seconds


class Progress:
    """Says now and then how a fuzzer gets on."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, name: str, executions: int, coverage: int) -> None:
        if time.monotonic() - self._said >= PROGRESS_EVERY:
            self._said = time.monotonic()
            typer.echo(f"{name}: {executions:,} inputs, {coverage:,} edges", err=True)


@app.command(cls=OneCommand)
def fuzz(
    targets: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(ALL)}.")] = None,
    *,
    seconds: Annotated[int, typer.Option(min=1, help="How long, each of them.")] = 300,
    keep_corpus: Annotated[
        bool, typer.Option("--keep", help="Add what covers more to tests/fuzz/corpus.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Feed the parsers inputs that cover more and more of them, and say what breaks one.

    Such an input is kept in tests/fuzz/corpus, which the tests run through ever after.
    """
    outcomes = []
    for name in targets or ALL:
        outcomes.append(run(name, seconds, Progress()))
        if not as_json:
            _say(outcomes[-1])
        if keep_corpus and outcomes[-1].found is None:
            typer.echo(f"{name}: {keep(name)} files in {CORPUS / name}", err=True)
    if as_json:
        typer.echo(json.dumps([vars(each) for each in outcomes], indent=2))
    raise typer.Exit(any(each.found for each in outcomes))


def _say(outcome: Outcome) -> None:
    typer.echo(
        f"{outcome.target}: {outcome.executions:,} inputs, {outcome.coverage:,} edges, "
        + (f"found {outcome.found}" if outcome.found else "nothing found")
    )
    if outcome.found:
        typer.echo(outcome.said, err=True)


if __name__ == "__main__":
    app()
