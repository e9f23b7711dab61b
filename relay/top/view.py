"""What a viewer draws: a look and its state go in, lines that rich can draw come out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from relay.top import model
from relay.top.columns import Column, table
from relay.top.detail import detail_lines
from relay.top.model import WAYS, History, Look, Row
from relay.top.state import HELP, Page, State
from relay.top.units import duration, short, sparkline

_TITLES = {
    Page.FLOWS: "flows",
    Page.TRANSCEIVERS: "transceivers",
    Page.DROPS: "drops",
    Page.CPUS: "CPUs",
}
_SPARK, _WIDE_SPARK = 24, 60  # looks in a sparkline
_WIDE = 120  # columns


@dataclass(frozen=True, slots=True)
class Screen:
    """What is drawn on.

    Attributes:
        width: Columns.
        height: Lines; None: as many as there are.
        ascii: Whether it shows nothing but ASCII.
    """

    width: int = 80
    height: int | None = None
    ascii: bool = False


def _arrow(row: Mapping[str, Any]) -> str:
    if row["state"] != "confirmed":
        return "pending"
    lone = model.is_one_way(row)
    return {None: "", "client": "client only", "transceiver": "silent client"}[lone]


def _state_style(row: Mapping[str, Any]) -> str:
    return "" if row["state"] == "confirmed" and not model.is_one_way(row) else "yellow"


def _share(row: Mapping[str, Any]) -> str:
    """Who forwards it: the share of its packets that the kernel has forwarded."""
    packets = sum(row[way]["packets"] for way in WAYS)
    kernel = sum(row[way]["kernel_packets"] for way in WAYS)
    return f"{100 * kernel / packets:.0f}%" if packets else "-"


FLOW_COLUMNS = (
    Column("client", lambda row: row["client"]),
    Column("note", _arrow, style=_state_style),
    Column("in/s", lambda row: short(row[WAYS[0]]["packet_rate"]), right=True),
    Column("out/s", lambda row: short(row[WAYS[1]]["packet_rate"]), right=True),
    Column("in bit/s", lambda row: short(row[WAYS[0]]["bit_rate"]), right=True),
    Column("out bit/s", lambda row: short(row[WAYS[1]]["bit_rate"]), right=True),
    Column("bytes", lambda row: short(sum(row[way]["bytes"] for way in WAYS)), right=True),
    Column("kernel", _share, right=True),
    Column("idle", lambda row: duration(model.idle(row)), right=True),
    Column("age", lambda row: duration(row["age_seconds"]), right=True),
    Column("route", lambda row: row["target"]),
    Column("transceiver", lambda row: row["transceiver"]),
    Column("upstream", lambda row: row["upstream"]),
    Column("vip", lambda row: row["vip"]),
    Column("via", lambda row: row["transport"]),
)
_FLOW_ORDER = (
    *("client", "in bit/s", "out bit/s", "note", "route", "in/s", "out/s", "transceiver"),
    *("kernel", "idle", "bytes", "age", "upstream", "vip", "via"),
)
_SORTED_BY = {
    "bits": "in bit/s",
    "packets": "in/s",
    "total": "bytes",
    "idle": "idle",
    "age": "age",
    "client": "client",
    "transceiver": "transceiver",
}
_TRANSCEIVER_COLUMNS = (
    Column("transceiver", lambda row: row["transceiver"]),
    Column("route", lambda row: row["target"]),
    Column("flows", lambda row: f"{row['flows']:,}", right=True),
    *FLOW_COLUMNS[2:6],
)
_DROP_COLUMNS = (
    Column("reason", lambda row: row["reason"]),
    Column("by", lambda row: row["dataplane"]),
    Column("packets/s", lambda row: short(row["rate"]), right=True),
    Column("packets", lambda row: f"{row['total']:,}", right=True),
)
_KINDS = ("user", "system", "softirq", "steal", "idle")
_VERDICTS = {"forward/s": "forwarded", "pass/s": "passed", "drop/s": "dropped"}
_CPU_COLUMNS = (
    Column("CPU", lambda row: str(row["number"]), right=True),
    *(
        Column(kind, lambda row, kind=kind: f"{100 * row['shares'][kind]:.0f}%", right=True)  # type: ignore[misc]  # mypy infers no lambda with a default
        for kind in _KINDS
    ),
    *(
        Column(
            name,
            lambda row, verdict=verdict: (
                short(row["packets"][verdict])  # type: ignore[misc]
                if row["packets"]
                else "-"
            ),
            right=True,
        )
        for name, verdict in _VERDICTS.items()
    ),
    Column("runs", lambda row: row["runs"]),
)


def render(look: Look, history: History, state: State, screen: Screen) -> list[Text]:
    """The whole screen, line by line; none is wider than it, and no more than it has."""
    lines = head_lines(look, history, state, screen)
    room = None if screen.height is None else max(1, screen.height - len(lines))
    if state.help:
        body = [Text(f"{keys:14}{text}", no_wrap=True) for keys, text in HELP]
    elif state.opened is not None:
        body = detail_lines(look.shown, state.opened, screen.width)
    else:
        body = _list(look, state, screen, None if room is None else max(0, room - 2))
    whole = [*lines, *(body if room is None else body[:room])][: screen.height]
    for line in whole:
        line.no_wrap, line.end = True, ""
        line.truncate(screen.width, overflow="ellipsis")
    return whole


def list_height(look: Look, history: History, state: State, screen: Screen) -> int:
    """How many rows of a list the screen shows, beside its head and the line below it."""
    if screen.height is None:
        return state.top + 40
    return max(1, screen.height - len(head_lines(look, history, state, screen)) - 2)


def count_rows(look: Look, state: State) -> int:
    """How many rows the list of a page has in all."""
    if state.page is Page.FLOWS:
        return look.matching
    return len(_rows_of(look, state))


def head_lines(look: Look, history: History, state: State, screen: Screen) -> list[Text]:
    """What is above the list: who this is, what passes, what is dropped, how the agent is."""
    dot = " - " if screen.ascii else " · "
    if state.opened is not None:
        return [_title(look, state, dot), Text("Esc: back to the list  ? help", "dim")]
    lines = [_title(look, state, dot), _flows_line(look, dot)]
    for dataplane, traffic in look.traffic.items():
        lines.append(_traffic_line(dataplane, traffic, history, screen))
    lines.append(_drops_line(look, history, screen))
    if look.overview is not None:
        lines.append(_agent_line(look.overview, look, dot))
        tasks = look.overview["tasks"].items()
        failing = [name for name, task in tasks if task["state"] == "failing"]
        if failing:
            lines.append(Text(f"failing     {', '.join(failing)}", "bold red"))
    lines += [Text(each, "red") for each in look.trouble]
    if look.overview is not None and look.overview.get("trouble"):
        lines.append(Text(str(look.overview["trouble"]), "red"))
    lines.append(_tabs(state))
    return lines


def _title(look: Look, state: State, dot: str) -> Text:
    agent = "no agent"
    if look.overview is not None:
        agent = f"agent {look.overview['pid']}"
    line = Text.assemble(("icelane ", "bold"), (look.instance, "bold"), dot, look.dataplane)
    line.append(f" dataplane{dot}{agent}")
    if look.overview is not None:
        ready = look.overview["ready"]
        draining = look.overview["registry"]["draining"]
        line.append(dot)
        line.append(
            "draining" if draining else "ready" if ready else "not ready", "" if ready else "red"
        )
    line.append(f"{dot}{look.time}")
    if state.paused:
        line.append(f"{dot}paused", "bold yellow")
    return line


def _flows_line(look: Look, dot: str) -> Text:
    line = Text("flows       ")
    line.append(f"{look.confirmed:,} confirmed", "green")
    if look.room:
        line.append(f" of {look.room:,}")
    if look.pending is not None:
        line.append(f"{dot}{look.pending:,} pending")
    line.append(f"{dot}{look.one_way:,} one-way", "yellow" if look.one_way else "")
    line.append(f"{dot}{short(look.setups)} set-ups/s")
    return line


def _traffic_line(dataplane: str, traffic: model.Traffic, history: History, screen: Screen) -> Text:
    spark = _spark_width(screen)
    packets, bits = (
        sparkline(history.of(dataplane, what), spark, ascii_only=screen.ascii)
        for what in ("packets", "bits")
    )
    line = Text(f"{dataplane:11}")
    line.append(f"{short(traffic.packets):>6} packets/s ", "bold")
    line.append(packets, "cyan")
    line.append(f"{short(traffic.bits):>7}bit/s ", "bold")
    line.append(bits, "cyan")
    return line


def _spark_width(screen: Screen) -> int:
    """Columns of a sparkline; none in a file, where each look stands for itself."""
    if screen.height is None:
        return 0
    most = _SPARK if screen.width < _WIDE else _WIDE_SPARK
    return max(0, min(most, (screen.width - 46) // 2))


def _drops_line(look: Look, history: History, screen: Screen) -> Text:
    dropped = look.dropped
    line = Text(f"{'drops':11}")
    line.append(f"{short(dropped):>6} packets/s ", "bold red" if dropped else "")
    spark = _spark_width(screen)
    line.append(sparkline(history.of("", "drops"), spark, ascii_only=screen.ascii), "red")
    now = [drop for drop in look.drops if drop.rate]
    for drop in now:
        more = f"  {drop.reason} {short(drop.rate)}"
        if line.cell_len + len(more) > screen.width - 4:
            line.append(" ..." if screen.ascii else " …")
            break
        line.append(more)
    return line


def _agent_line(overview: Mapping[str, Any], look: Look, dot: str) -> Text:
    line = Text("agent       ")
    if look.busy is not None:
        line.append(f"loop {100 * look.busy:.0f}% busy")
        if look.longest:
            line.append(f", turns to {look.longest} ms")
    workers = overview.get("workers")
    if workers is not None:
        names = {name for name in overview["tasks"] if name.startswith("worker ")}
        line.append(f"{dot}{len(workers)} of {max(len(names), len(workers))} workers")
    line.append(dot)
    line.append_text(_redis(overview))
    return line


def _redis(overview: Mapping[str, Any]) -> Text:
    mirror = overview.get("mirror")
    task = overview["tasks"].get("mirror", {})
    if overview["registry"]["redis_away"] or task.get("state") == "failing":
        return Text("Redis is away", "bold red")
    if mirror is None:
        return Text("no Redis")
    text = f"Redis {mirror['lag_seconds']:.1f} s behind, {mirror['waiting']:,} waiting"
    return Text(text, "yellow" if mirror["lag_seconds"] > 5 else "")


def _tabs(state: State) -> Text:
    line = Text()
    for page, title in _TITLES.items():
        line.append(f" {page.value} {title} ", "reverse" if page is state.page else "dim")
    if state.page is Page.FLOWS:
        way = " reversed" if state.reverse else ""
        line.append(f"  by {state.sort}{way}", "dim")
        if state.typing:
            line.append(f"  filter: {state.filter}_", "bold")
        elif state.filter:
            line.append(f"  filter: {state.filter}", "yellow")
    line.append("  ? help", "dim")
    return line


def _list(look: Look, state: State, screen: Screen, height: int | None) -> list[Text]:
    rows = _rows_of(look, state)
    shown = rows[state.top :] if height is None else rows[state.top : state.top + height]
    columns, order = _COLUMNS_OF[state.page]
    chosen = state.row - state.top if state.page is Page.FLOWS and screen.height else None
    lines = table(
        columns,
        shown,
        screen.width,
        order=order,
        chosen=chosen,
        mark=_SORTED_BY[state.sort] if state.page is Page.FLOWS else "",
    )
    total = count_rows(look, state)
    more = total - state.top - len(shown)
    if not total:
        lines.append(Text(_nothing(state), "dim"))
    elif more > 0 or state.top:
        above = f"{state.top:,} above, " if state.top else ""
        lines.append(Text(f"{above}{more:,} more", "dim"))
    return lines


def _nothing(state: State) -> str:
    if state.page is Page.FLOWS:
        return f"no flow fits {state.filter!r}" if state.filter else "no flows"
    return "nothing was dropped" if state.page is Page.DROPS else "none"


def _rows_of(look: Look, state: State) -> Sequence[Row]:
    if state.page is Page.FLOWS:
        return look.rows
    if state.page is Page.TRANSCEIVERS:
        return [dict(row) for row in look.transceivers]
    if state.page is Page.DROPS:
        return [
            {"reason": d.reason, "dataplane": d.dataplane, "rate": d.rate, "total": d.total}
            for d in look.drops
        ]
    return [
        {"number": c.number, "shares": c.shares, "packets": c.packets, "runs": c.runs}
        for c in look.processors
    ]


def _names(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


_COLUMNS_OF: Mapping[Page, tuple[Sequence[Column], Sequence[str]]] = {
    Page.FLOWS: (FLOW_COLUMNS, _FLOW_ORDER),
    Page.TRANSCEIVERS: (_TRANSCEIVER_COLUMNS, _names(_TRANSCEIVER_COLUMNS)),
    Page.DROPS: (_DROP_COLUMNS, _names(_DROP_COLUMNS)),
    Page.CPUS: (_CPU_COLUMNS, _names(_CPU_COLUMNS)),
}
