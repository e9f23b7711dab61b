"""`icelane config`: look for mistakes in files, show what takes effect, and write an example."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.options import CONFIG, with_found
from relay.cli.output import AsJson, print_json
from relay.cli.tree import TREE
from relay.config.conflict import written
from relay.config.found import Found, Kind
from relay.config.settings import Settings
from relay.config.shown import in_words, plain
from relay.errors import ConfigError

if TYPE_CHECKING:
    from relay.cli.configcheck import Report

app = typer.Typer(no_args_is_help=True, help="Check, show and write files of settings.")
show = typer.Typer(invoke_without_command=True)
app.add_typer(show, name="show")

_SECTIONS = ", ".join(TREE)


def _sections(names: Sequence[str] | None) -> list[str]:
    from relay.config.toml import unknown

    wrong = [unknown(name, TREE, "section") for name in names or () if name not in TREE]
    if wrong:
        raise ConfigError(*wrong)
    return list(names or ())


@app.command()
def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", readable=False, help="Of settings, or one that settings name."
        ),
    ],
    *,
    section: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"A service whose settings it must have: {_SECTIONS}. Default: as it has them.",
            autocompletion=lambda: list(TREE),
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell all that is wrong with a file: file, line, setting, and what was meant.

    A file of settings is looked at for each service that it describes, together with the
    environment and with the files that it names, as a start would; nothing is listened on. It warns
    of settings that contradict each other, and of files that are not there. A registry, a table of
    back ends, regions, a key file or API keys can be checked alone. Ends with 1 if something is
    wrong.

    Examples:
        icelane config check icelane.toml
        icelane config check --strict --section relay icelane.toml
        icelane config check registry.toml backends.toml --json
    """
    from relay.cli.configcheck import check as look

    wanted = _sections(section)
    reports = [look(file, os.environ, wanted) for file in files]
    if as_json:
        print_json([each.as_json() for each in reports])
    else:
        for each in reports:
            _print_report(each)
    if any(each.errors or (strict and each.warnings) for each in reports):
        raise typer.Exit(1)


def _print_report(report: "Report") -> None:
    from relay.cli.configcheck import located

    for error in report.errors:
        print(error)
    for warning in report.warnings:
        problem = located(warning, report.files)
        place, text = problem.place, problem.text
        if not place:  # such as a variable of the environment
            place, _, text = text.partition(": ")
        print(f"{place}: warning: {text}")
    what = f"settings of {', '.join(report.sections)}" if report.sections else report.kind
    counts = (("error", len(report.errors)), ("warning", len(report.warnings)))
    told = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts if count]
    print(f"{report.file}: {', '.join(told) or 'ok'} ({what})")


@app.command("example")
def example_(
    section: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SECTION",
            help=f"For which services: {_SECTIONS}. Default: all.",
            autocompletion=lambda: list(TREE),
        ),
    ] = None,
) -> None:
    """Print a file of settings with a comment on each.

    Examples:
        icelane config example relay > relay.toml
        icelane config example relay transceiver signaling
    """
    from relay.config.example import example

    wanted = _sections(section) or list(TREE)
    typer.echo(example({name: TREE[name] for name in wanted}), nl=False)


@show.callback()
def show_all(context: typer.Context, *, config: CONFIG = None, as_json: AsJson = False) -> None:
    """Show the settings that take effect, and where each comes from; secrets are masked.

    A file counts less than the environment, and that less than an option. Without a section it
    shows those that the file has, or all. With one it takes the options of that service.

    Examples:
        icelane config show --config icelane.toml
        icelane config show relay --config icelane.toml --max-flows 5000
        icelane config show signaling --json
    """
    if context.invoked_subcommand is not None:
        if as_json or context.get_parameter_source("config").name == "COMMANDLINE":  # type: ignore[union-attr]  # it has it
            raise ConfigError("write --config and --json behind the section")
        return
    from relay.config.toml import read_toml

    document = {} if config is None else read_toml(config, "settings")
    wanted = [name for name in TREE if isinstance(document.get(name), dict)] or list(TREE)
    found = [TREE[name].find({}, tree=TREE, file=config, environment=os.environ) for name in wanted]
    _show(found, as_json=as_json)


def _add_section(name: str, model: type[Settings]) -> None:
    @with_found(model)
    def shown(found: Found[Settings], *, as_json: AsJson = False) -> None:
        _show([found], as_json=as_json)

    help_ = f"""Show the settings of {name}; it takes the options of that service.

    Examples:
        icelane config show {name}
        icelane config show {name} --json
    """
    show.command(name, help=help_)(shown)


for _name, _model in TREE.items():
    _add_section(_name, _model)


def _show(sections: Sequence[Found[Settings]], *, as_json: bool) -> None:
    """Print settings.

    Raises:
        ConfigError: Some are wrong; those that are missing are shown so.
    """
    rows = {each.model.section: _rows(each) for each in sections}
    if as_json:
        print_json([row for section in rows.values() for row in section])
    else:
        _print_rows(rows)
    problems = [
        problem
        for each in sections
        for problem in (*each.problems, *each.wrong_values())
        if " is missing: " not in problem
    ]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))


def _rows(found: Found[Settings]) -> list[dict[str, Any]]:
    rows = []
    for name, info in found.model.model_fields.items():
        source = found.source(name)
        missing = info.is_required() and name not in found.values
        rows.append(
            {
                "section": found.model.section,
                "setting": written(name),
                "value": plain(found.value(name)),
                "source": "missing" if missing else str(source.kind),
                "place": source.place or None,
                "shown": _in_words(found, name),
            }
        )
    return rows


def _in_words(found: Found[Settings], name: str) -> str:
    extra = found.model.model_fields[name].json_schema_extra
    default = extra.get("shown") if isinstance(extra, dict) else None
    if found.source(name).kind is Kind.DEFAULT and default:
        return str(default)
    return in_words(found.value(name))


def _print_rows(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The value stands last: it may be long, and nothing of it is cut."""
    rows = [row for section in sections.values() for row in section]
    names = max(len(row["setting"]) for row in rows)
    places = max(len(row["place"] or row["source"]) for row in rows)
    for number, (section, own) in enumerate(sections.items()):
        print(f"{chr(10) if number else ''}[{section}]")
        for row in own:
            place = row["place"] or row["source"]
            print(f"{row['setting']:{names}}  {place:{places}}  {row['shown']}")
