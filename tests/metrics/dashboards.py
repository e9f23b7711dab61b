"""The dashboards for Grafana, made of what their panels ask: docs/deploy/grafana/*.json.

The data source and the instances are variables that Grafana's user chooses: nothing here is bound
to one of his.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs" / "deploy" / "grafana"
_IS_CONNECTED = 'state="connected"'
_SCHEMA = 39  # of Grafana 11, which later ones read
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel with lines over time.

    Attributes:
        title: What it shows.
        unit: Grafana's name of the unit.
        asked: Expressions of PromQL by the legend of their lines.
        about: What to look at, for whoever is woken by it.
    """

    title: str
    unit: str
    asked: Mapping[str, str]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard.

    Attributes:
        uid: Names it in links; it is its file's name, too.
        title: What people call it.
        of: A metric that each of its instances has.
        panels: What it shows, by rows of three.
    """

    uid: str
    title: str
    of: str
    panels: Sequence[Panel]


def _rate(metric: str, by: str = "", where: str = "") -> str:
    labels = f'instance=~"$instance"{"," if where else ""}{where}'
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{labels}}}[$__rate_interval]))"


def _quantiles(metric: str, by: str = "", where: str = "") -> dict[str, str]:
    legend = f" {{{{{by}}}}}" if by else ""
    inner = _rate(f"{metric}_bucket", f"le, {by}" if by else "le", where)
    return {
        f"p{100 * share:g}{legend}": f"histogram_quantile({share}, {inner})"
        for share in (0.5, 0.95, 0.99)
    }


def _gauge(metric: str, by: str = "", where: str = "", how: str = "sum") -> str:
    labels = f'instance=~"$instance"{"," if where else ""}{where}'
    grouped = f" by ({by})" if by else ""
    return f"{how}{grouped} ({metric}{{{labels}}})"


_R, _T, _S = "icelane_relay_", "icelane_transceiver_", "icelane_signaling_"
_CONNECTED = f"clamp_min({_gauge(f'{_T}sessions', where=_IS_CONNECTED)}, 1)"
_PROCESS = (
    Panel(
        "Processor",
        "percentunit",
        {"{{instance}}": _rate("process_cpu_seconds_total", "instance", "{job}")},
        "1 is a whole processor.",
    ),
    Panel(
        "Memory",
        "bytes",
        {"{{instance}}": _gauge("process_resident_memory_bytes", "instance", "{job}")},
    ),
    Panel(
        "Descriptors in use",
        "percentunit",
        {
            "{{instance}}": _gauge("process_open_fds", "instance", "{job}")
            + " / "
            + _gauge("process_max_fds", "instance", "{job}")
        },
    ),
)


def _process(job: str) -> list[Panel]:
    """The panels of the process itself, for the instances of one job."""
    return [
        Panel(
            each.title,
            each.unit,
            {
                legend: query.replace("{job}", f'job="{job}"')
                for legend, query in each.asked.items()
            },
            each.about,
        )
        for each in _PROCESS
    ]


RELAY = Dashboard(
    "icelane-relay",
    "Icelane: relay",
    f"{_R}ready",
    [
        Panel(
            "Ready",
            "bool_yes_no",
            {"{{instance}}": _gauge(f"{_R}ready", "instance", how="min")},
            "What a load balancer or BGP goes by.",
        ),
        Panel(
            "Packets forwarded",
            "pps",
            {"{{dataplane}} {{direction}}": _rate(f"{_R}packets_total", "dataplane, direction")},
            "With XDP nearly all should be the kernel's.",
        ),
        Panel(
            "Bytes forwarded",
            "Bps",
            {"{{dataplane}} {{direction}}": _rate(f"{_R}bytes_total", "dataplane, direction")},
        ),
        Panel(
            "Drops by reason",
            "pps",
            {"{{dataplane}} {{reason}}": _rate(f"{_R}dropped_packets_total", "dataplane, reason")},
            "docs/verdicts.md explains each reason of the kernel.",
        ),
        Panel(
            "Packets that the kernel passes up",
            "pps",
            {"from {{source}}": _rate(f"{_R}agent_received_packets_total", "source")},
        ),
        Panel(
            "Verdicts of the kernel",
            "pps",
            {"{{reason}}": _rate(f"{_R}kernel_packets_total", "reason")},
        ),
        Panel("Flows", "short", {"{{state}}": _gauge(f"{_R}flows", "state")}),
        Panel(
            "Used of what has a bound",
            "percentunit",
            {"{{of}}": f"{_gauge(f'{_R}used', 'of')} / {_gauge(f'{_R}limit', 'of')}"},
            "At 80 % allow more with max-flows, or more upstream addresses.",
        ),
        Panel("Set-up of flows", "s", _quantiles(f"{_R}setup_seconds")),
        Panel(
            "Tasks that fail",
            "short",
            {"{{task}}": f"1 - {_gauge(f'{_R}task_working', 'task', how='min')}"},
        ),
        Panel(
            "Redis is behind by",
            "s",
            {"{{instance}}": _gauge(f"{_R}mirror_lag_seconds", "instance", how="max")},
        ),
        Panel(
            "Requests that wait for Redis",
            "short",
            {"{{instance}}": _gauge(f"{_R}mirror_queue_length", "instance", how="max")},
        ),
        Panel("Turns of the event loop", "s", _quantiles(f"{_R}loop_turn_seconds")),
        Panel(
            "Clock ahead of others'",
            "s",
            {"{{instance}}": _gauge(f"{_R}clock_ahead_seconds", "instance", how="max")},
        ),
        Panel(
            "Dataplane",
            "short",
            {"{{name}}": _gauge(f"{_R}dataplane", "name")},
            "How many relays forward with each.",
        ),
        *_process("icelane-relay"),
    ],
)

TRANSCEIVERS = Dashboard(
    "icelane-transceivers",
    "Icelane: transceivers",
    f"{_T}capacity",
    [
        Panel("Calls", "short", {"{{state}}": _gauge(f"{_T}sessions", "state")}),
        Panel(
            "Places taken",
            "percentunit",
            {
                "{{instance}}": _gauge(f"{_T}places_taken", "instance")
                + " / "
                + _gauge(f"{_T}capacity", "instance")
            },
        ),
        Panel(
            "Draining, or behind",
            "short",
            {
                "{{instance}} draining": _gauge(f"{_T}draining", "instance"),
                "{{instance}} behind": _gauge(f"{_T}behind", "instance"),
            },
        ),
        Panel(
            "Calls begun and ended",
            "reqps",
            {
                "begun": _rate(f"{_T}calls_total"),
                "ended: {{reason}}": _rate(f"{_T}calls_ended_total", "reason"),
            },
        ),
        Panel(
            "Set-up by step, median",
            "s",
            {
                "{{step}}": "histogram_quantile(0.5, "
                + _rate(f"{_T}setup_seconds_bucket", "le, step")
                + ")"
            },
        ),
        Panel("From offer to DTLS", "s", _quantiles(f"{_T}setup_seconds", where='step="dtls"')),
        Panel("RTP", "pps", {"{{direction}}": _rate(f"{_T}rtp_packets_total", "direction")}),
        Panel(
            "Loss",
            "percentunit",
            {
                "{{direction}}": _rate(f"{_T}rtp_lost_packets_total", "direction")
                + " / ("
                + _rate(f"{_T}rtp_lost_packets_total", "direction")
                + " + "
                + _rate(f"{_T}rtp_packets_total", "direction")
                + ")"
            },
        ),
        Panel(
            "Sound made up and recovered, of each second of a call",
            "percentunit",
            {
                "made up": f"{_rate(f'{_T}concealed_seconds_total')} / {_CONNECTED}",
                "recovered": f"{_rate(f'{_T}recovered_seconds_total')} / {_CONNECTED}",
            },
        ),
        Panel("Round trip to clients", "s", _quantiles(f"{_T}round_trip_seconds")),
        Panel("Jitter", "s", _quantiles(f"{_T}jitter_seconds", "direction")),
        Panel("Playout delay", "s", _quantiles(f"{_T}playout_delay_seconds")),
        Panel(
            "Late and sent again",
            "pps",
            {
                "late": _rate(f"{_T}rtp_late_packets_total"),
                "sent again": _rate(f"{_T}rtp_resent_packets_total"),
            },
        ),
        Panel(
            "First sound of back ends", "s", _quantiles(f"{_T}backend_response_seconds", "backend")
        ),
        Panel(
            "Turns of conversations",
            "s",
            _quantiles(f"{_T}conversation_turn_seconds", "backend"),
            "From when the client is heard to stop to when the answer is played.",
        ),
        Panel(
            "Back ends lost",
            "reqps",
            {"{{backend}}": _rate(f"{_T}backend_losses_total", "backend")},
        ),
        Panel(
            "Lateness of frames",
            "s",
            _quantiles(f"{_T}frame_lateness_seconds"),
            "Over 20 ms the process has too many calls.",
        ),
        Panel(
            "What comes waits to be read",
            "s",
            _quantiles(f"{_T}receive_wait_seconds"),
            "Over 150 ms for a second: it takes no calls until it has caught up.",
        ),
        Panel(
            "Refused",
            "pps",
            {
                "datagrams: {{reason}}": _rate(f"{_T}refused_datagrams_total", "reason"),
                "requests: {{code}}": _rate(f"{_T}control_errors_total", "code"),
            },
        ),
        Panel(
            "Tasks that fail",
            "short",
            {"{{task}}": f"1 - {_gauge(f'{_T}task_working', 'task', how='min')}"},
        ),
        *_process("icelane-transceiver"),
    ],
)

SIGNALING = Dashboard(
    "icelane-signaling",
    "Icelane: signaling",
    f"{_S}registry_working",
    [
        Panel(
            "Requests",
            "reqps",
            {"{{method}} {{route}}": _rate(f"{_S}requests_total", "method, route")},
        ),
        Panel("Answers by status", "reqps", {"{{status}}": _rate(f"{_S}requests_total", "status")}),
        Panel(
            "Refused by reason",
            "reqps",
            {"{{reason}}": _rate(f"{_S}refused_requests_total", "reason")},
        ),
        Panel(
            "Time to answer an offer",
            "s",
            _quantiles(f"{_S}request_seconds", where='route="/v1/realtime/calls"'),
        ),
        Panel("Placements", "reqps", {"{{result}}": _rate(f"{_S}placements_total", "result")}),
        Panel(
            "Transceivers that did not take a call",
            "reqps",
            {"{{reason}}": _rate(f"{_S}placement_refusals_total", "reason")},
        ),
        Panel(
            "Transceivers", "short", {"{{state}}": _gauge(f"{_S}transceivers", "state", how="max")}
        ),
        Panel(
            "Registry works",
            "bool_yes_no",
            {"{{instance}}": _gauge(f"{_S}registry_working", "instance", how="min")},
        ),
        Panel(
            "Tasks that fail",
            "short",
            {"{{task}}": f"1 - {_gauge(f'{_S}task_working', 'task', how='min')}"},
        ),
        *_process("icelane-signaling"),
    ],
)

DASHBOARDS = (RELAY, TRANSCEIVERS, SIGNALING)


def texts() -> dict[Path, str]:
    """The files by their paths."""
    return {
        FOLDER / f"{each.uid}.json": json.dumps(_dashboard(each), indent=2) + "\n"
        for each in DASHBOARDS
    }


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["icelane"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,  # one crosshair for all panels
        "annotations": {"list": []},
        "templating": {"list": [_source(), _instances(dashboard)]},
        "panels": [_panel(number, each) for number, each in enumerate(dashboard.panels)],
    }


def _source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }


def _instances(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Instance",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": f"label_values({dashboard.of}, instance)", "refId": "instance"},
        "refresh": 2,  # whenever the range of time changes
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "sort": 1,
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS // _WIDTH)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": row * _HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0 if panel.unit != "s" else None},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "range": True,
            }
            for index, (legend, expression) in enumerate(panel.asked.items())
        ],
    }
