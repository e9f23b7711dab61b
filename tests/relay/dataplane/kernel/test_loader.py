"""Loading, replacing, refusing and unloading, with real interfaces."""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel import bpfload, bpfsys, build, loader, objects, sources
from relay.dataplane.kernel.attach import attached_mode
from relay.dataplane.kernel.config import LoadConfig, Outcome
from relay.dataplane.kernel.maps import FLOW_MAPS
from relay.dataplane.kernel.ownaddresses import VIPS, OwnTable
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins, instances
from relay.errors import DataplaneError
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import FLOW, NewConfig, link_ids, load, program_of

pytestmark = pytest.mark.bpf


def flows(config: LoadConfig) -> list[FlowTuple]:
    dataplane = xdp.XdpDataplane(config.instance)
    found = [record.flow for record in dataplane.flows()]
    dataplane.close()
    return found


def test_the_program_is_replaced_in_one_step_and_keeps_its_flows(
    host: Host, running: LoadConfig
) -> None:
    before = link_ids(running.instance)
    report = load(host, replace(running, reload=True))
    assert report.outcome is Outcome.REPLACED
    assert link_ids(running.instance) == before  # the interfaces were never without a program
    assert flows(running) == [FLOW]
    with host.inside():
        status = xdp.status(running.instance)
    assert status.interfaces == {"a": "native", "b": "native"}
    assert (status.flows, status.max_flows, status.program) == (1, 8, report.program)


def test_a_restarted_agent_keeps_the_program_and_needs_no_object(
    host: Host, running: LoadConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = program_of(running, "a")
    monkeypatch.setattr(objects, "find_or_build", refuse)
    vip = Endpoint("203.0.113.99", 3478)
    report = load(host, replace(running, settings=replace(running.settings, vips=(vip,))))
    assert (report.outcome, report.object) == (Outcome.KEPT, None)
    assert program_of(running, "a") == before
    assert flows(running) == [FLOW]
    with closing(OwnTable(Pins(running.instance), VIPS)) as vips:
        assert vip.packed in vips.names().values()
    with pytest.raises(DataplaneError, match="no object today"):
        load(host, replace(running, reload=True))
    assert program_of(running, "a") == before


def refuse() -> objects.Found:
    raise DataplaneError("no object today")


def test_another_size_is_refused_and_what_runs_goes_on(host: Host, running: LoadConfig) -> None:
    before = link_ids(running.instance)
    with pytest.raises(
        DataplaneError,
        match=r"has room for 8 flows, and 9 are wanted(.|\n)*--max-flows 8(.|\n)*relay unload",
    ):
        load(host, replace(running, max_flows=9))
    assert link_ids(running.instance) == before
    assert flows(running) == [FLOW]


def test_without_a_size_the_running_programs_stays(host: Host, running: LoadConfig) -> None:
    report = load(host, replace(running, max_flows=None, reload=True))
    assert (report.outcome, report.max_flows) == (Outcome.REPLACED, 8)
    assert flows(running) == [FLOW]


def test_without_a_size_there_is_room_for_all_upstream_ports(
    host: Host, running: LoadConfig, new_config: NewConfig
) -> None:
    xdp.unload(running.instance)
    config = replace(new_config("a"), max_flows=None)
    assert load(host, config).max_flows == config.ports


@pytest.mark.parametrize("name", ["counters", "flow_index"])
def test_a_map_whose_pin_somebody_removed_is_made_anew(
    host: Host, running: LoadConfig, name: str
) -> None:
    before = link_ids(running.instance)
    Pins(running.instance).map(name).unlink()
    assert load(host, running).outcome is Outcome.REPLACED
    assert link_ids(running.instance) == before
    assert flows(running) == [FLOW]
    assert load(host, running).outcome is Outcome.KEPT


@pytest.mark.parametrize("name", FLOW_MAPS)
def test_where_it_is_one_of_flows_it_is_said_what_helps(
    host: Host, running: LoadConfig, name: str
) -> None:
    Pins(running.instance).map(name).unlink()
    with pytest.raises(DataplaneError, match=rf"removed {name} from (.|\n)*relay unload"):
        load(host, running)
    with host.inside():
        assert xdp.unload(running.instance)
    assert load(host, running).outcome is Outcome.LOADED


def test_a_map_of_somebody_else_is_not_taken_for_ones_own(host: Host, running: LoadConfig) -> None:
    pins = Pins(running.instance)
    fd = bpfload.map_create(bpfsys.MapType.ARRAY, 4, 8, 1, 0, "strange")
    pins.replace(pins.map("flow_hash"), fd)
    os.close(fd)
    with pytest.raises(DataplaneError, match=r"flow_hash is a map of somebody else(.|\n)*unload"):
        load(host, running)
    with host.inside():
        assert xdp.unload(running.instance)
    assert load(host, running).outcome is Outcome.LOADED


def test_what_somebody_else_has_put_among_the_pins_is_named(
    host: Host, running: LoadConfig
) -> None:
    stranger = Pins(running.instance).directory / "stranger"
    stranger.mkdir()
    with host.inside():
        with pytest.raises(DataplaneError, match="stranger is a directory of somebody else"):
            xdp.unload(running.instance)
        stranger.rmdir()
        xdp.unload(running.instance)
    assert running.instance not in instances()


CHANGES = {
    "value": (
        "struct flow_ends ends;\n\tstruct address client;",
        "struct address client;\n\tstruct flow_ends ends;",
    ),
    "size of a value": ("__le64 secret[2];\n};", "__le64 secret[2];\n\t__le64 more;\n};"),
    "key, of the same size": (
        "__u16 cluster;\n\t__u8 slot;\n\t__u8 pad;",
        "__u8 slot;\n\t__u8 pad;\n\t__u16 cluster;",
    ),
    "size of a map": ("#define MAX_TX_PORTS 8192", "#define MAX_TX_PORTS 4096"),
    "more counters": ("\tX(not_ip, PASS)", "\tX(new_reason, PASS)\\\n\tX(not_ip, PASS)"),
}


@pytest.fixture
def changed_sources(tmp_path: Path) -> Callable[[str], Path]:
    """Makes sources with one of the changes in the header."""

    def change(name: str) -> Path:
        changed = tmp_path / "bpf"
        shutil.copytree(sources.source_directory(), changed)
        header = changed / "relay.h"
        text = header.read_text(encoding="utf-8")
        assert CHANGES[name][0] in text
        header.write_text(text.replace(*CHANGES[name]), encoding="utf-8")
        return changed

    return change


def _load_changed(changed: Path, config: LoadConfig) -> str:
    for module in (sources, build):
        vars(module)["source_directory"] = lambda: changed
    vars(objects)["find_or_build"] = lambda: objects.Found(build.build(), None)
    try:
        return loader.load(config).outcome
    except DataplaneError as error:
        return str(error)


def load_from(changed: Path, host: Host, config: LoadConfig) -> str:
    """Load from other sources, in a process of its own; what it says."""

    # Not forked: a thread of this process may hold a lock, which nobody would let go of there. It
    # compiles, for as long as the processors need for that; if it dies, the result tells.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        with host.inside():
            answer = processes.submit(_load_changed, changed, config)
        return answer.result()


def test_another_layout_of_flows_is_refused_and_what_runs_goes_on(
    host: Host, running: LoadConfig, changed_sources: Callable[[str], Path]
) -> None:
    before = program_of(running, "a")
    answer = load_from(changed_sources("value"), host, running)
    assert "map flow_records has another layout" in answer
    assert f"icelane relay unload --instance {running.instance}" in answer
    assert program_of(running, "a") == before
    assert flows(running) == [FLOW]


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "value"])
def test_a_map_that_is_written_anew_may_have_another_layout(
    host: Host, running: LoadConfig, changed_sources: Callable[[str], Path], name: str
) -> None:
    before = program_of(running, "a")
    assert load_from(changed_sources(name), host, running) == Outcome.REPLACED
    assert program_of(running, "a") != before
    assert flows(running) == [FLOW]
    with PinnedMap(Pins(running.instance).map("route_keys")) as keys:
        assert len(list(keys.items())) == 1
    assert load(host, running).outcome is Outcome.REPLACED  # and back
    assert flows(running) == [FLOW]


def test_maps_are_what_they_were_when_the_verifier_refuses_the_next_program(
    host: Host, running: LoadConfig, changed_sources: Callable[[str], Path]
) -> None:
    changed = changed_sources("more counters")
    program = changed / "relay.bpf.c"
    text = program.read_text(encoding="utf-8").replace("total > end - (void *)ip", "total < 0", 1)
    program.write_text(text.replace("if ((void *)(payload + 1) > end)", "if (!payload)"))
    before = maps_of(running)
    assert "refuses the BPF program relay" in load_from(changed, host, running)
    assert maps_of(running) == before
    assert flows(running) == [FLOW]


def maps_of(config: LoadConfig) -> dict[str, int]:
    """The kernel's numbers of the maps that are pinned."""
    pins = Pins(config.instance)
    found = {}
    for name in pins.maps():
        with PinnedMap(pins.map(name)) as opened:
            found[name] = opened.info.id
    return found


def test_an_interface_that_is_no_longer_named_is_released(host: Host, running: LoadConfig) -> None:
    load(host, replace(running, interfaces=("a",)))
    assert list(Pins(running.instance).links()) == ["a"]
    with host.inside():
        assert attached_mode("b") is None


def test_a_failed_replacement_leaves_the_old_program_everywhere(
    host: Host, running: LoadConfig, new_config: NewConfig
) -> None:
    load(host, replace(running, interfaces=("a",)))
    load(host, new_config("b"))
    before = program_of(running, "a")
    with pytest.raises(DataplaneError, match="another XDP program"):
        load(host, running)
    assert program_of(running, "a") == before


def test_unloading_leaves_nothing(host: Host, running: LoadConfig) -> None:
    assert xdp.unload(running.instance)
    assert not xdp.unload(running.instance)
    assert running.instance not in instances()
    with host.inside():
        assert attached_mode("a") is None


def test_an_interface_that_is_not_there(host: Host, new_config: NewConfig) -> None:
    with pytest.raises(DataplaneError, match=r"no interface nowhere0 here"):
        load(host, new_config("nowhere0"))


LOAD = (
    "import os, pickle, sys\n"
    "from relay.dataplane.kernel.loader import load\n"
    "from relay.errors import DataplaneError\n"
    "config = pickle.load(sys.stdin.buffer)\n"
    # Only when all is imported: a checkout may be readable for its owner only.
    "os.setuid(int(sys.argv[1]))\n"
    "try:\n"
    "    print(load(config))\n"
    "except DataplaneError as error:\n"
    "    sys.exit(str(error))\n"
)


def load_apart(config: LoadConfig, *wrapper: str, user: int = 0) -> tuple[str, str]:
    """What a process of its own prints, as a user, and says on its standard error."""
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", LOAD, str(user)],
        input=pickle.dumps(config),
        capture_output=True,
        check=False,
    )
    return done.stdout.decode(), done.stderr.decode()


def test_mounts_of_its_own_end_with_the_process(host: Host, new_config: NewConfig) -> None:
    config = new_config("a")
    report, _ = load_apart(config, "ip", "netns", "exec", host.namespace)
    assert "mounted it at /sys/fs/bpf" in report
    assert config.instance not in instances()


def test_without_root_it_is_said(new_config: NewConfig) -> None:
    config = replace(new_config("a"), interfaces=("lo",))
    _, said = load_apart(config, user=65534)
    assert said == "The XDP dataplane needs root: run it as root, such as with sudo.\n"


def open_programs() -> int:
    """How many descriptors of BPF programs this process has."""
    files = [each for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [str(each.readlink()) for each in files].count("anon_inode:bpf-prog")


def test_what_the_verifier_refuses_is_told_in_its_words(
    host: Host, new_config: NewConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = objects.find_or_build()
    programs = dict(found.object.programs)
    forever = bytes.fromhex("05 00 ff ff 00 00 00 00")  # a jump to itself
    programs["relay"] = replace(programs["relay"], instructions=forever, maps=())
    broken = objects.Found(replace(found.object, programs=programs), None)
    monkeypatch.setattr(objects, "find_or_build", lambda: broken)
    config, before = new_config("a"), open_programs()
    with pytest.raises(DataplaneError, match=r"refuses the BPF program relay \(.*; .*insn"):
        load(host, config)
    assert open_programs() == before  # those that it takes are closed
    assert config.instance not in instances()
    assert not Pins(config.instance).directory.exists()
