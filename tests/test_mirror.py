"""Every module has its mirrored test file: relay/core/flow.py has tests/relay/core/test_flow.py."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("relay", "transceiver", "signaling", "vagrant")

# Modules that a test of another name exercises, and why they have none of their own.
WITHOUT = {
    "relay/run/newtable.py": (
        "tests/relay/run/test_agent.py",
        "it only hands settings on: an agent with them shows that each arrives",
    ),
    "signaling/controlanswers.py": (
        "tests/signaling/test_control.py",
        "it reads the answers of control APIs, tested as what their client makes of them",
    ),
    "relay/cli/allinone.py": (
        "tests/e2e/test_up.py",
        "it joins all three services: only a call through them shows that they meet",
    ),
    "relay/config/entryreader.py": (
        "tests/relay/config/test_registry.py",
        "it reads the entries of a registry file, tested as what the registry does",
    ),
    "relay/config/found.py": (
        "tests/relay/config/test_settings.py",
        "what is found is what settings are made of, tested as what they do",
    ),
    "relay/cli/configfiles.py": (
        "tests/relay/cli/test_configcheck.py",
        "what each service makes of its settings is told by a check of them",
    ),
    "relay/cli/up.py": ("tests/e2e/test_up.py", "it passes its settings on to allinone.py"),
    "relay/dataplane/errors.py": (
        "tests/relay/test_errors.py",
        "it names failures and does nothing; who raises one tests it",
    ),
    "relay/dataplane/flowrecord.py": (
        "tests/relay/admin/test_listing.py",
        "records without a method, of which listings are made",
    ),
    "relay/core/confirmed.py": (
        "tests/relay/core/test_session.py",
        "a part of the session table, tested as what the table does",
    ),
    "relay/core/fill.py": (
        "tests/relay/core/test_session.py",
        "a part of the session table, tested as what the table does",
    ),
    "relay/core/newcomers.py": (
        "tests/relay/core/test_session.py",
        "a part of the session table, tested as what the table does",
    ),
    "relay/core/recovery.py": (
        "tests/relay/core/test_session_recovery.py",
        "a part of the session table, tested as what the table does",
    ),
    "relay/core/sleeping.py": (
        "tests/relay/core/test_session_recovery.py",
        "a part of the session table, tested as what the table does",
    ),
    "relay/core/upstreamports.py": (
        "tests/relay/core/test_session.py",
        "a part of the session table, tested as what the table does",
    ),
    "relay/run/takeover/estate.py": (
        "tests/relay/run/takeover/test_succession.py",
        "what one agent gives another one is shown by two that meet",
    ),
    "relay/run/workers/process.py": (
        "tests/relay/run/workers/test_supervisor.py",
        "it is a process that only a supervisor can start",
    ),
    "signaling/settings.py": (
        "tests/relay/cli/test_door.py",
        "settings without a method; their kinds are tested in test_fields.py",
    ),
    "vagrant/__main__.py": (
        "tests/vagrant/test_cli.py",
        "a command line is tested as one; `make vm-test` is what runs it to its end",
    ),
    "vagrant/errors.py": (
        "tests/vagrant/test_machine.py",
        "it names a failure and does nothing; who raises it tests it",
    ),
    "transceiver/plan.py": (
        "tests/transceiver/sdp/test_negotiation.py",
        "plain data without a method, which negotiation makes",
    ),
    "transceiver/agent/skills/reply.py": (
        "tests/transceiver/agent/skills/test_dialogue.py",
        "plain data without a method, of which answers are made",
    ),
    "transceiver/agent/speech/errors.py": (
        "tests/transceiver/agent/speech/test_workers.py",
        "it names failures and does nothing; who raises one tests it",
    ),
    "transceiver/commands.py": (
        "tests/transceiver/test_ice.py",
        "plain data without a method, which the ICE agent makes",
    ),
    "transceiver/bridge/responses.py": (
        "tests/transceiver/bridge/test_core.py",
        "a part of the bridge's core, tested as what the core does",
    ),
    "transceiver/bridge/passage.py": (
        "tests/transceiver/test_sockets.py",
        "it has two sockets, of which only a session without WebRTC is made",
    ),
    "transceiver/realtime/commands.py": (
        "tests/transceiver/realtime/test_engine.py",
        "plain data without a method, which the engine makes",
    ),
    "relay/core/flows.py": (
        "tests/relay/core/test_session.py",
        "what parts of the session table share, without code of its own",
    ),
    "relay/admin/flowcommands.py": (
        "tests/relay/cli/test_flows.py",
        "an agent's answers on flows, tested as its command shows them",
    ),
    "relay/admin/flowentry.py": (
        "tests/relay/admin/test_flowcolumns.py",
        "a flow as it is told, tested as columns show it",
    ),
    "relay/admin/flowsource.py": (
        "tests/relay/cli/test_flows.py",
        "where flows are read from, tested with an agent and without",
    ),
    "relay/admin/mapview.py": (
        "tests/relay/cli/test_maps.py",
        "what of a map is shown, tested as its command prints it",
    ),
    "relay/admin/question.py": (
        "tests/relay/admin/test_transport.py",
        "asks what the transport answers",
    ),
    "relay/dataplane/kernel/tracing.py": (
        "tests/bpf/test_trace.py",
        "it follows packets, tested on single ones",
    ),
    "relay/cli/traceview.py": (
        "tests/netns/test_trace.py",
        "a part of its command, tested while flows run",
    ),
    "relay/cli/flowlist.py": (
        "tests/relay/cli/test_flows.py",
        "a part of its command",
    ),
    "relay/cli/flowshow.py": (
        "tests/relay/cli/test_flows.py",
        "a part of its command",
    ),
    "relay/cli/flowwatch.py": (
        "tests/relay/cli/test_flows.py",
        "a part of its command",
    ),
    "relay/cli/textrows.py": (
        "tests/relay/cli/test_flows.py",
        "how rows are written, as its command prints them",
    ),
    "relay/dataplane/kernel/hopview.py": (
        "tests/netns/test_xdp_forwarding.py",
        "the next hops that packets of a flow have just taken",
    ),
    "relay/mirror/fetching.py": (
        "tests/relay/cli/test_flows.py",
        "a flow's record as its details show it",
    ),
    "relay/top/columns.py": (
        "tests/relay/top/test_view.py",
        "what the view draws",
    ),
    "relay/top/detail.py": (
        "tests/relay/top/test_view.py",
        "what the view draws",
    ),
    "relay/top/live.py": (
        "tests/relay/cli/test_top.py",
        "tested on a real terminal",
    ),
    "relay/top/plain.py": (
        "tests/relay/cli/test_top.py",
        "tested as its command prints it",
    ),
    "relay/top/processors.py": (
        "tests/relay/top/test_model.py",
        "a part of the model",
    ),
    "relay/top/source.py": (
        "tests/relay/cli/test_top.py",
        "tested beside real relays",
    ),
    "relay/top/terminal.py": (
        "tests/relay/cli/test_top.py",
        "tested on a real terminal",
    ),
    "transceiver/realtime/desk.py": (
        "tests/transceiver/realtime/test_engine.py",
        "a part of the engine, tested as what the engine does",
    ),
    "transceiver/realtime/errors.py": (
        "tests/transceiver/realtime/test_fields.py",
        "it names a failure; who raises it tests it",
    ),
    "transceiver/agent/parts.py": (
        "tests/transceiver/agent/test_session.py",
        "interfaces without code of their own",
    ),
    "transceiver/agent/settings.py": (
        "tests/relay/cli/test_agent.py",
        "two settings, which its command reads; their kinds are tested in test_fields.py",
    ),
}
# Tests of several modules together, and what they are about.
TOGETHER = {
    "tests/relay/cli/test_everywhere.py": "all commands: output, exit codes, JSON, secret files",
    "tests/relay/cli/test_files.py": "all commands, where a file that they need cannot be used",
    "tests/relay/core/test_session_tcp.py": "session.py, where clients come over TCP",
    "tests/relay/core/test_session_recovery.py": "session.py, where flows come back at a start",
    "tests/relay/registry/test_groups.py": "all of relay/registry, in Redis Cluster and Sentinel",
    "tests/relay/run/test_stores.py": "a relay with its mirror, where Redis has each of its faults",
    "tests/relay/run/test_agent_tcp.py": "agent.py, where clients come over TCP",
    "tests/relay/run/test_agent_keys.py": "agent.py, whose keys rotate under load",
    "tests/relay/run/test_os_errors.py": "an agent and its sockets, where the kernel refuses",
    "tests/relay/run/test_foreign_server.py": "an agent before an ICE server that is not ours",
    "tests/vagrant/test_cli.py": "__main__.py, where no machine can be run",
    "tests/vagrant/test_vagrantfile.py": "the Vagrantfile, which is no module",
    "tests/signaling/test_fuzz.py": "all routes of signaling, on what no client should send",
    "tests/transceiver/test_mux_announcements.py": "mux.py, told by relays who is where",
    "tests/transceiver/test_mux_questions.py": "mux.py, asked by relays who is where",
    "tests/transceiver/test_live_fuzz.py": "a transceiver and signaling as processes, abused",
    "tests/transceiver/realtime/test_refusals.py": "the engine, where clients are wrong",
    "tests/transceiver/realtime/test_fuzz.py": "the engine, on whatever comes in whatever order",
    "tests/transceiver/sdp/test_fuzz.py": "all of transceiver/sdp, on what no client should write",
    "tests/transceiver/sdp/test_real_offers.py": "all of transceiver/sdp, on what clients do write",
    "tests/transceiver/realtime/test_habits.py": "the engine, by what official clients rely on",
    "tests/transceiver/bridge/test_events_of_clients.py": "core.py before the engine of a service",
    "tests/transceiver/bridge/test_sequences.py": "core.py, on any events in any order",
    "tests/transceiver/bridge/test_manners.py": "all of transceiver/bridge, in calls to services "
    "that behave as those that people use, and worse",
    "tests/relay/wire/test_cases.py": "the cases that parsers in Python and in the kernel share",
}


def modules() -> list[str]:
    """The modules of all packages, as paths from the root of the repository."""
    return [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__init__.py"
    ]


def mirrored(module: str) -> str:
    """Where the test file of a module is."""
    path = Path(module)
    return str("tests" / path.with_name(f"test_{path.name}"))


TESTS = [
    str(path.relative_to(ROOT))
    for package in PACKAGES
    for path in sorted((ROOT / "tests" / package).rglob("test_*.py"))
]


def test_the_packages_are_looked_at() -> None:
    assert {"relay/core/session.py", "transceiver/mux.py", "signaling/pool.py"} <= set(modules())
    assert mirrored("relay/core/session.py") == "tests/relay/core/test_session.py"
    assert {"tests/relay/core/test_session.py", "tests/signaling/test_pool.py"} <= set(TESTS)


@pytest.mark.parametrize("module", [each for each in modules() if each not in WITHOUT])
def test_a_module_has_its_test_file(module: str) -> None:
    assert mirrored(module) in TESTS


@pytest.mark.parametrize("module", WITHOUT)
def test_a_module_without_one_is_exercised_elsewhere(module: str) -> None:
    test, reason = WITHOUT[module]
    assert module in modules()
    assert (ROOT / test).is_file()
    assert reason
    assert mirrored(module) not in TESTS, "it has one now: take it off the list"


@pytest.mark.parametrize("test", [each for each in TESTS if each not in TOGETHER])
def test_a_test_file_has_its_module(test: str) -> None:
    assert test in map(mirrored, modules())


@pytest.mark.parametrize("test", TOGETHER)
def test_a_test_of_several_modules_is_there_and_named_for_none(test: str) -> None:
    assert test in TESTS
    assert TOGETHER[test]
    assert test not in map(mirrored, modules())
