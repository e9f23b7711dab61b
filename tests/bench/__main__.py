"""The benchmarks' command line: ``python -m tests.bench``, `make bench`, `make bench-quick`."""

import typer

from relay.cli.errors import Commands
from tests.bench.alternatives import cli as alternatives
from tests.bench.compare import cli as compare
from tests.bench.cost import cli as cost
from tests.bench.reroute import cli as reroute
from tests.bench.start import cli as start

app = typer.Typer(
    name="python -m tests.bench",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure on this machine.",
)
app.command()(compare.run)
app.command()(compare.report)
app.command()(compare.check)
app.command()(compare.systems)
app.command()(cost.cost)
app.command()(reroute.reroute)
app.command()(start.start)
app.command()(alternatives.alternatives)

if __name__ == "__main__":
    app()
