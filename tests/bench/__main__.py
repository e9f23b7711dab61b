"""The benchmarks' command line: ``python -m tests.bench``, `make bench`, `make bench-quick`."""

import typer

from relay.cli.errors import Commands
from tests.bench.agent import cli as agent
from tests.bench.alternatives import cli as alternatives
from tests.bench.ask import cli as ask
from tests.bench.clients import cli as clients
from tests.bench.compare import cli as compare
from tests.bench.cost import cli as cost
from tests.bench.density import cli as density
from tests.bench.edge import cli as edge
from tests.bench.failover import cli as failover
from tests.bench.fleet import cli as fleet
from tests.bench.flood import cli as flood
from tests.bench.leaks import cli as leaks
from tests.bench.loop import cli as loop
from tests.bench.loss import cli as loss
from tests.bench.media import cli as media
from tests.bench.mirror import cli as mirror
from tests.bench.mux import cli as mux
from tests.bench.replay import cli as replay
from tests.bench.reroute import cli as reroute
from tests.bench.restart import cli as restart
from tests.bench.rolling import cli as rolling
from tests.bench.scale import cli as scale
from tests.bench.setup import cli as setup
from tests.bench.start import cli as start
from tests.bench.top import cli as top
from tests.bench.turn import cli as turn
from tests.bench.voice import cli as voice
from tests.signals import cleaned_up

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
app.command()(agent.agent)
app.command()(ask.ask)
app.command()(clients.clients)
app.command()(cost.cost)
app.command()(density.density)
app.command()(edge.edge)
app.command()(failover.failover)
app.command()(fleet.fleet)
app.command()(flood.flood)
app.command()(leaks.leaks)
app.command()(loop.loop)
app.command()(loss.loss)
app.command()(media.media)
app.command()(mirror.mirror)
app.command()(mux.mux)
app.command()(replay.replay)
app.command()(reroute.reroute)
app.command()(setup.setup)
app.command()(start.start)
app.command()(restart.restart)
app.command()(rolling.rolling)
app.command()(scale.scale)
app.command()(top.top)
app.command()(turn.turn)
app.command()(voice.voice)
app.command()(alternatives.alternatives)

if __name__ == "__main__":
    with cleaned_up():
        app()
