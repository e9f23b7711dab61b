"""``python -m tests.audit``, which `make audit` runs: what pip-audit finds, a line for each."""

import json
import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer

from relay.errors import IcelaneError
from tests.commands import OneCommand

LOCK = Path(__file__).parents[2] / ".ci" / "requirements.lock"
LIMIT = 300  # seconds for all answers of the database

app = typer.Typer(pretty_exceptions_enable=False)


class AuditError(IcelaneError):
    """Nothing is known of the dependencies, for the database was not asked."""

    exit_code = 3


@app.command(cls=OneCommand)
def audit(
    program: Annotated[Path, typer.Argument(help="The program pip-audit.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Look up every locked dependency among the known advisories.

    Ends with 0 when there are none, with 1 when there are, and with 3 when nobody could be asked.
    """
    count, advisories = known(program)
    if as_json:
        typer.echo(json.dumps({"dependencies": count, "advisories": advisories}, indent=2))
    else:
        for each in advisories:
            fixed = ", ".join(each["fixed"]) or "no release"
            typer.echo(f"{each['name']} {each['version']}: {each['id']}, fixed in {fixed}")
        typer.echo(f"{count} locked dependencies, {len(advisories)} known advisories")
    raise typer.Exit(bool(advisories))


def known(program: Path) -> tuple[int, list[dict[str, Any]]]:
    """How many dependencies are locked, and what advisories there are of them.

    Raises:
        AuditError: Nobody could be asked.
    """
    command = [
        str(program),
        "--disable-pip",
        "--no-deps",
        "--progress-spinner=off",
        "--format=json",
    ]
    try:
        ran = subprocess.run(
            [*command, "--format=json", "--requirement", str(LOCK)],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        dependencies = json.loads(ran.stdout)["dependencies"]
        unknown = [each["name"] for each in dependencies if "skip_reason" in each]
        if unknown:
            raise AuditError(f"the advisory database does not know {', '.join(unknown)}")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AuditError(f"pip-audit cannot run ({error}): nothing was checked") from None
    except (ValueError, KeyError, TypeError):
        last = ran.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise AuditError(
            f"the advisory database cannot be asked, so nothing was checked: {last[0][-300:]}; run "
            "this where the Internet can be reached"
        ) from None
    advisories = [
        {
            "name": each["name"],
            "version": each["version"],
            "id": flaw["id"],
            "fixed": flaw["fix_versions"],
        }
        for each in dependencies
        for flaw in each["vulns"]
    ]
    return len(dependencies), advisories


if __name__ == "__main__":
    app()
