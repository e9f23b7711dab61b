"""Imports point one way, and heavy libraries are loaded by those who need them only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("relay", "transceiver", "signaling")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def within(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of these packages or lies in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


# Without clocks, randomness, threads, files or event loops: those are arguments.
PURE = [
    *(name for name in MODULES if within(name, "relay.wire", "relay.core")),
    *("relay.clocks", "relay.histogram", "relay.metrics", "relay.admin.catalogue"),
    "relay.redisurl",
    *("transceiver.announcements", "transceiver.endings", "transceiver.quality"),
    "transceiver.bridge.latency",
    *("relay.admin.typedfilter", "relay.top.columns", "relay.top.detail", "relay.top.keys"),
    *("relay.top.model", "relay.top.processors", "relay.top.state", "relay.top.units"),
    "relay.top.view",
    *("relay.files", "relay.admin.listing", "relay.forwarding.flowcache"),
    *(f"relay.admin.{name}" for name in ("flowentry", "flowfilter", "flowname", "flowcolumns")),
    *("relay.admin.mapview", "relay.admin.stats", "relay.admin.tracing"),
    "relay.dataplane.kernel.tracerecords",
    *("relay.registry.entry", "relay.registry.table"),
    *(f"relay.doctor.{name}" for name in ("finding", "host", "links", "network")),
    *(f"relay.doctor.{name}" for name in ("addresses", "peers")),
    *("relay.mirror.record", "transceiver.plan", "transceiver.ice", "transceiver.checks"),
    *("transceiver.commands", "transceiver.sped", "transceiver.admission"),
    *(f"transceiver.bridge.{name}" for name in ("events", "playout", "blame", "responses")),
    *(f"transceiver.bridge.{name}" for name in ("settings", "core", "uplink")),
    *(f"transceiver.bridge.{name}" for name in ("continuing", "history")),
    *("signaling.client", "signaling.form", "signaling.fragment", "signaling.whipconfig"),
    *("signaling.session", "signaling.resume", "transceiver.resume", "transceiver.webhooksigning"),
    *(f"signaling.auth.{name}" for name in ("apikeys", "clientsecret", "credentials", "limits")),
    *("relay.tracing.span", "transceiver.callspans", "signaling.offerspans"),
    "transceiver.agent.playback",
    "transceiver.agent.kept",
    *(name for name in MODULES if within(name, "transceiver.realtime", "transceiver.agent.skills")),
    *(f"transceiver.agent.speech.{name}" for name in ("detection", "echo", "levels")),
    *(f"transceiver.agent.speech.{name}" for name in ("sentences", "turns")),
    *(name for name in MODULES if within(name, "transceiver.media", "transceiver.sdp")),
]
# Each imports only what stands in lines above; what stands in one line knows nothing of each other.
LAYERS = [
    ("relay.errors",),
    ("relay.clocks", "relay.files", "relay.histogram", "relay.linux", "relay.streams"),
    ("relay.redisurl",),
    (
        *("relay.loopturns", "relay.outage", "relay.pace", "relay.supervision"),
        *("relay.metrics",),
    ),
    (
        *("relay.httpedge", "relay.redisclient", "relay.wire", "relay.children"),
        "relay.handover",
    ),
    ("relay.config", "relay.exposition", "relay.listen"),
    ("relay.core",),
    (
        *("relay.dataplane", "relay.forwarding", "relay.mirror", "relay.registry"),
        *("relay.netns", "relay.caller", "relay.tracing"),
    ),
    ("relay.admin",),
    ("relay.run",),
    ("relay.doctor", "relay.top"),
    ("transceiver", "signaling"),
    ("relay.cli",),
    ("tests",),
]
IMPURE = ["asyncio", "os", "random", "secrets", "select", "subprocess", "threading", "time"]

# Each holds the private names that it touches with a contract test of its own.
TOUCH_PRIVATE_NAMES = {"transceiver.sctp", "relay.caller.peer"}
PUBLIC_DESPITE_THE_NAME = {"_replace", "_asdict", "_fields", "_make"}  # of named tuples


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@cache
def imported(name: str) -> frozenset[str]:
    """Dotted names of all that a module imports, wherever in it that stands."""
    found = set()
    for node in ast.walk(tree(name)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), names=names, level=0):
                # `from relay import metrics` imports relay.admin.metrics.
                found |= {f"{module}.{alias.name}" for alias in names}
            case ast.ImportFrom():
                pytest.fail(f"{name}: a relative import hides what it imports")
    return frozenset(found)


def imports_of(*packages: str) -> Iterator[tuple[str, str]]:
    """What imports something of these packages: pairs of module and imported name."""
    for name in MODULES:
        for target in sorted(imported(name)):
            if within(target, *packages):
                yield name, target


def private_names(name: str) -> set[str]:
    """Private attributes that a module touches on anything but `self` and `cls`."""
    found = set()
    for node in ast.walk(tree(name)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=attr) if attr.startswith("_") and not attr.endswith("__"):
                found.add(attr)
            case ast.Constant(value=str(text)) if "__" in text.strip("_") and text[0] == "_":
                found.add(text)  # a mangled name, for getattr
    return found - PUBLIC_DESPITE_THE_NAME


def test_all_packages_are_looked_at() -> None:
    assert {"relay.wire.route", "relay.cli", "transceiver.sctp", "signaling.server"} <= set(MODULES)


@pytest.mark.parametrize("name", [name for name in MODULES if within(name, "relay.wire")])
def test_the_wire_needs_nothing_but_the_standard_library_and_siphash(name: str) -> None:
    strange = {
        target
        for target in imported(name)
        if target.split(".")[0] not in sys.stdlib_module_names
        and not within(target, "relay.wire", "relay.errors", "siphash24")
    }
    assert strange == set()


def test_products_never_import_tests() -> None:
    assert not list(imports_of("tests"))


def test_only_the_command_line_stands_above_the_three_packages() -> None:
    assert not [
        (name, target)
        for name, target in imports_of("transceiver", "signaling")
        if within(name, "relay") and not within(name, "relay.cli")
    ]
    assert not [pair for pair in imports_of("transceiver") if within(pair[0], "signaling")]
    assert not [pair for pair in imports_of("signaling") if within(pair[0], "transceiver")]


def test_a_layer_of_the_relay_imports_only_those_below() -> None:
    layer = {name: level for level, names in enumerate(LAYERS) for name in names}
    assert not [
        (name, target)
        for name, target in imports_of(*layer)
        for own in [next((own for own in layer if within(name, own)), None)]
        for other in [next(other for other in layer if within(target, other))]
        if own and own != other and layer[own] <= layer[other]
    ]


def test_services_know_of_the_relay_its_wire_configuration_and_listening() -> None:
    known = (
        *("relay.errors", "relay.linux", "relay.wire", "relay.config", "relay.listen"),
        *("relay.supervision", "relay.children", "relay.handover", "relay.forwarding.mmsg"),
        *("relay.files", "relay.httpedge", "relay.registry", "relay.clocks", "relay.core.throttle"),
        *(
            "relay.histogram",
            "relay.metrics",
            "relay.exposition",
            "relay.tracing",
            "relay.jsontext",
        ),
    )
    assert not [
        (name, target)
        for name, target in imports_of("relay")
        if within(name, "transceiver", "signaling") and not within(target, *known)
    ]


def test_the_protocol_engine_knows_nobody_who_runs_it() -> None:
    known = (
        *("transceiver.realtime", "transceiver.media", "transceiver.plan"),
        *("relay.errors", "relay.jsontext"),
    )
    assert not [
        (name, target)
        for name, target in imports_of("relay", "transceiver", "signaling")
        if within(name, "transceiver.realtime") and not within(target, *known)
    ]


def test_the_caller_knows_of_the_relay_its_wire_and_why_files_fail_only() -> None:
    assert not [
        (name, target)
        for name, target in imports_of("relay", "transceiver", "signaling")
        if within(name, "relay.caller")
        and not within(target, "relay.caller", "relay.errors", "relay.files", "relay.wire")
    ]


@pytest.mark.parametrize(
    ("library", "users"),
    [
        ("bcc", {"relay.dataplane.kernel.build"}),
        (
            "redis",
            {
                *("relay.mirror.library", "relay.mirror.neighbours"),
                *("relay.redisclient", "relay.registry.store"),
            },
        ),
        ("siphash24", {"relay.wire.siphash"}),
        ("segno", {"relay.cli.door"}),
        ("cryptography", {"signaling.selfsigned", "transceiver.dtls"}),
        ("prometheus_client", {"relay.admin.metrics", "relay.exposition"}),
        (
            "pydantic",
            {
                *("relay.config.fields", "relay.config.settings", "relay.run.settings"),
                *("relay.config.found", "relay.config.example"),
                *("transceiver.settings", "transceiver.agent.settings"),
                *("signaling.settings", "relay.cli.options"),
            },
        ),
        ("opentelemetry", {"relay.tracing.exporter"}),
        ("hibari", {"transceiver.agent.speech.engines"}),
        ("pocketsphinx", {"transceiver.agent.speech.sphinx"}),
        ("onnxruntime", {"transceiver.agent.speech.activity"}),
    ],
)
def test_a_library_is_used_where_it_belongs_only(library: str, users: set[str]) -> None:
    assert {name for name, _ in imports_of(library)} == users


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_are_told_the_time_and_get_their_randomness(name: str) -> None:
    assert not [target for target in imported(name) if within(target, *IMPURE)]


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name in MODULES.keys() - TOUCH_PRIVATE_NAMES
        if within(name, "transceiver", "signaling", "relay.caller")
    ),
)
def test_private_names_of_others_are_touched_in_few_places(name: str) -> None:
    assert private_names(name) == set()


@pytest.mark.parametrize("name", sorted(TOUCH_PRIVATE_NAMES))
def test_modules_that_touch_private_names_still_do(name: str) -> None:
    assert private_names(name)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import relay.run.agent",
            ["bcc", "aiortc", "av", "pyroute2", "aiohttp", "rich", "typer", "pydantic"],
        ),
        ("import relay.core.session", ["bcc", "aiortc", "asyncio", "redis", "pyroute2"]),
        (
            "import relay.cli.main",
            [
                *("bcc", "aiortc", "av", "pyroute2", "aiohttp", "redis", "prometheus_client"),
                *("rich", "pydantic", "asyncio", "relay.cli.relay", "relay.cli.tree"),
            ],
        ),
        # What `icelane relay run` is before it becomes the relay's process.
        (
            "import relay.cli.relay, relay.handover",
            ["asyncio", "redis", "rich", "relay.run.agent", "relay.dataplane.xdp"],
        ),
        # What that process is before it has the kernel load the program.
        (
            "import relay.run.process",
            ["asyncio", "subprocess", "redis", "relay.run.agent", "relay.run.workers"],
        ),
        (
            "import relay.dataplane.xdp, relay.run.process",
            [
                "bcc",
                "pyroute2",
                "aiohttp",
                "redis",
                "prometheus_client",
                "rich",
                "typer",
                "pydantic",
            ],
        ),
        ("import transceiver.server", ["bcc", "pyroute2", "redis"]),
        ("import transceiver.server", ["onnxruntime", "hibari", "pocketsphinx"]),
        ("import relay.run.agent, relay.run.process", ["opentelemetry", "requests"]),
        ("import transceiver.server, signaling.server", ["opentelemetry", "requests"]),
        ("import signaling.server", ["bcc", "aiortc", "av", "pyroute2", "redis"]),
    ],
    ids=lambda value: value.split()[-1] if isinstance(value, str) else "",
)
def test_nothing_heavy_is_loaded_that_is_not_used(statement: str, absent: list[str]) -> None:
    code = f"{statement}\nimport sys\nprint([name for name in {absent} if name in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout == "[]\n"
