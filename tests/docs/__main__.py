"""`python -m tests.docs`: `make reference`, and what runs the commands in the documentation."""

import typer

from relay.cli.errors import Commands

app = typer.Typer(
    name="python -m tests.docs",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make what in the documentation is made of the code; list its commands.",
)


@app.command()
def reference() -> None:
    """Write the pages and files that are made of the code, and name those that have changed."""
    from tests.docs.pages import ROOT, texts

    for path, text in texts().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
            print(path.relative_to(ROOT))


@app.command()
def commands() -> None:
    """List the blocks of commands in the documentation: what runs each of them, if anything."""
    from tests.docs.shell import blocks

    for block in blocks():
        print(f"{block.place}: {block.run_by or 'parsed only'}")


if __name__ == "__main__":
    app()
