"""Loading, replacing, refusing and unloading, with real interfaces."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from relay.dataplane import bpfsys, loader, xdp
from relay.dataplane.attach import attached_mode
from relay.dataplane.base import DataplaneError, FlowTuple
from relay.dataplane.config import LoadConfig, LoadReport, Mode, Outcome
from relay.dataplane.pins import PinnedMap, Pins, instances
from relay.lab.host import Host
from relay.lab.passing import pass_everything
from relay.wire.endpoint import Endpoint

pytestmark = pytest.mark.bpf

FLOW = FlowTuple(
    Endpoint("198.51.100.7", 1),
    Endpoint("203.0.113.10", 3478),
    Endpoint("192.0.2.1", 20001),
    Endpoint("192.0.2.2", 5000),
    bytes(21),
)
NewConfig = Callable[..., LoadConfig]


def load(host: Host, config: LoadConfig) -> LoadReport:
    with host.inside():
        return xdp.load(config)


def link_ids(instance: str) -> dict[str, int]:
    """The kernel's numbers of an instance's links."""
    found = {}
    for interface, path in Pins(instance).links().items():
        fd = bpfsys.obj_get(path)
        found[interface] = bpfsys.link_info(fd).id
        os.close(fd)
    return found


def program_of(config: LoadConfig, interface: str) -> int:
    """The number of the program that an interface runs."""
    fd = bpfsys.obj_get(Pins(config.instance).link(interface))
    try:
        return bpfsys.link_info(fd).program_id
    finally:
        os.close(fd)


@pytest.fixture(scope="module")
def first_config(new_config: NewConfig) -> LoadConfig:
    """Of the instance that most tests share: compiling takes a second."""
    return new_config("a", "b")


@pytest.fixture
def running(host: Host, first_config: LoadConfig) -> LoadConfig:
    """A loaded instance on both interfaces, with a flow; alone on the host."""
    config = first_config
    for instance in instances():
        if instance.startswith(f"test-{os.getpid()}-") and instance != config.instance:
            xdp.unload(instance)
    if set(Pins(config.instance).links()) != {"a", "b"}:
        load(host, config)
    dataplane = xdp.XdpDataplane(config.instance)
    dataplane.install(FLOW)
    dataplane.close()
    return config


def flows(config: LoadConfig) -> list[FlowTuple]:
    dataplane = xdp.XdpDataplane(config.instance)
    found = [record.flow for record in dataplane.flows()]
    dataplane.close()
    return found


def test_the_program_is_replaced_in_one_step_and_keeps_its_flows(
    host: Host, running: LoadConfig
) -> None:
    before = link_ids(running.instance)
    report = load(host, replace(running, rebuild=True))
    assert report.outcome is Outcome.REPLACED
    assert link_ids(running.instance) == before  # the interfaces were never without a program
    assert flows(running) == [FLOW]
    with host.inside():
        status = xdp.status(running.instance)
    assert status.interfaces == {"a": "native", "b": "native"}
    assert (status.flows, status.max_flows, status.program) == (1, 8, report.program)


def test_a_restarted_agent_keeps_the_program_and_needs_no_compiler(
    host: Host, running: LoadConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = program_of(running, "a")
    (tmp_path / "bcc.py").write_text("raise ImportError", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    vip = Endpoint("203.0.113.99", 3478)
    report = load(host, replace(running, settings=replace(running.settings, vips=(vip,))))
    assert (report.outcome, report.build_seconds) == (Outcome.KEPT, 0.0)
    assert program_of(running, "a") == before
    assert flows(running) == [FLOW]
    with PinnedMap(Pins(running.instance).map("vips")) as vips:
        assert [each["key"] for each in vips.show()] == [{"addr": vip.host, "port": vip.port}]
    with pytest.raises(DataplaneError, match="apt-get install python3-bpfcc"):
        load(host, replace(running, rebuild=True))
    assert program_of(running, "a") == before


def test_another_size_is_refused_and_what_runs_goes_on(host: Host, running: LoadConfig) -> None:
    before = link_ids(running.instance)
    with pytest.raises(
        DataplaneError,
        match=r"has room for 8 flows, and 9 are wanted(.|\n)*--max-flows 8(.|\n)*relay unload",
    ):
        load(host, replace(running, max_flows=9))
    assert link_ids(running.instance) == before
    assert flows(running) == [FLOW]


@pytest.mark.parametrize(
    ("refused", "change"),
    [
        ("flows", ("__u64 packets;\n\t__u64 bytes;", "__u64 bytes;\n\t__u64 packets;")),
        (  # the size of a value
            "route_keys",
            ("__le64 secret[2];\n};", "__le64 secret[2];\n\t__le64 more;\n};"),
        ),
        (  # a key, of the same size
            "route_keys",
            (
                "__u16 cluster;\n\t__u8 slot;\n\t__u8 pad;",
                "__u8 slot;\n\t__u8 pad;\n\t__u16 cluster;",
            ),
        ),
        ("ports", ("#define MAX_PORTS 32", "#define MAX_PORTS 31")),
        ("counters", ("\tX(not_ip, PASS)", "\tX(new_reason, PASS)\\\n\tX(not_ip, PASS)")),
    ],
    ids=["value", "size of a value", "key", "size of a map", "more counters"],
)
def test_another_layout_is_refused_and_what_runs_goes_on(
    host: Host, running: LoadConfig, tmp_path: Path, refused: str, change: tuple[str, str]
) -> None:
    changed = tmp_path / "bpf"
    shutil.copytree(loader.source_directory(), changed)
    header = changed / "relay.h"
    text = header.read_text(encoding="utf-8")
    assert change[0] in text
    header.write_text(text.replace(*change), encoding="utf-8")

    def load_changed(answers: "multiprocessing.Queue[str]") -> None:
        loader.source_directory = lambda: changed
        try:
            loader.load(running)
        except DataplaneError as error:
            answers.put(str(error))
        else:
            answers.put("loaded")

    processes = multiprocessing.get_context("fork")
    answers = processes.Queue()
    with host.inside():
        child = processes.Process(target=load_changed, args=(answers,))
        child.start()
    answer = answers.get(timeout=30)
    child.join()
    assert f"map {refused} has another layout or size" in answer
    assert f"icelane relay unload --instance {running.instance}" in answer
    assert flows(running) == [FLOW]


def test_an_interface_that_is_no_longer_named_is_released(host: Host, running: LoadConfig) -> None:
    load(host, replace(running, interfaces=("a",)))
    assert list(Pins(running.instance).links()) == ["a"]
    with host.inside():
        assert attached_mode("b") is None


def test_another_program_is_never_replaced_and_nothing_is_left_half_done(
    host: Host, running: LoadConfig, new_config: NewConfig
) -> None:
    load(host, replace(running, interfaces=("b",)))
    second = new_config("a", "b")
    with pytest.raises(DataplaneError, match="b runs another XDP program already"):
        load(host, second)
    assert not Pins(second.instance).directory.exists()
    with host.inside():
        assert attached_mode("a") is None
        assert attached_mode("b") is Mode.NATIVE


def running_program(host: Host, interface: str) -> tuple[int | None, str | None]:
    """The number of the program that an interface runs, whoever attached it, and how."""
    with host.netlink() as netlink:
        (link,) = netlink.get_links(ifname=interface)
    return (
        link.get_nested("IFLA_XDP", "IFLA_XDP_PROG_ID"),
        link.get_nested("IFLA_XDP", "IFLA_XDP_ATTACHED"),
    )


class TestForce:
    """Somebody else's program is taken off when that is asked for, and can be."""

    @pytest.fixture
    def other(self, host: Host, running: LoadConfig) -> Iterator[int]:
        """A program on b, attached over netlink as `ip link` does it: its number."""
        xdp.unload(running.instance)
        pass_everything(host, "b")
        number, _ = running_program(host, "b")
        assert number is not None
        yield number
        with host.netlink() as netlink:
            index = netlink.link_lookup(ifname="b")[0]
            netlink.link("set", index=index, IFLA_XDP={"attrs": [("IFLA_XDP_FD", -1)]})

    def test_it_is_taken_off_with_a_warning(
        self, host: Host, other: int, new_config: NewConfig
    ) -> None:
        config = new_config("a", "b")
        with pytest.raises(DataplaneError, match=r"b runs another XDP program already.*--force"):
            load(host, config)
        assert running_program(host, "b") == (other, "xdp")
        report = load(host, replace(config, force=True))
        assert report.interfaces == {"a": "native", "b": "native"}
        (warning,) = report.warnings
        assert f"b ran another XDP program (number {other}), which --force has" in warning
        assert load(host, replace(config, force=True)).warnings == ()
        xdp.unload(config.instance)

    def test_it_is_put_back_when_loading_fails(
        self, host: Host, other: int, running: LoadConfig, new_config: NewConfig
    ) -> None:
        load(host, replace(running, interfaces=("a",)))  # by a link, which cannot be taken off
        config = replace(new_config("b", "a"), force=True)
        with pytest.raises(DataplaneError, match=r"a runs the XDP program \d+ by a link"):
            load(host, config)
        assert running_program(host, "b") == (other, "xdp")
        assert program_of(running, "a") == running_program(host, "a")[0]
        assert not Pins(config.instance).directory.exists()


def test_a_failed_replacement_leaves_the_old_program_everywhere(
    host: Host, running: LoadConfig, new_config: NewConfig
) -> None:
    load(host, replace(running, interfaces=("a",)))
    load(host, new_config("b"))
    before = program_of(running, "a")
    with pytest.raises(DataplaneError, match="another XDP program"):
        load(host, running)
    assert program_of(running, "a") == before


class TestMode:
    """Native first; a driver that refuses is quoted."""

    @pytest.fixture
    def picky(self, host: Host, running: LoadConfig) -> Host:
        """A host whose interface c cannot run a program natively: its peer's MTU is too large."""
        xdp.unload(running.instance)
        with IPRoute(netns=host.namespace) as netlink:
            if not netlink.link_lookup(ifname="c"):
                netlink.link("add", ifname="c", kind="veth", peer="c-far")
                far = netlink.link_lookup(ifname="c-far")[0]
                netlink.link("set", index=far, mtu=9000, state="up")
        return host

    def test_native_is_refused_in_the_drivers_words(
        self, picky: Host, new_config: NewConfig
    ) -> None:
        config = new_config("a", "c", mode=Mode.NATIVE)
        with pytest.raises(
            DataplaneError, match=r"driver of c refuses native mode: veth: Peer MTU is too large"
        ):
            load(picky, config)
        with picky.inside():
            assert attached_mode("a") is attached_mode("c") is None

    def test_auto_falls_back_on_all_interfaces_and_says_so(
        self, picky: Host, new_config: NewConfig
    ) -> None:
        config = new_config("a", "c")
        report = load(picky, config)
        assert report.interfaces == {"a": "generic", "c": "generic"}
        (warning,) = report.warnings
        assert "Peer MTU is too large" in warning
        assert "generic mode" in warning
        again = load(picky, replace(config, interfaces=("a", "c", "b")))
        assert set(again.interfaces.values()) == {"generic"}
        xdp.unload(config.instance)

    def test_generic_is_taken_when_asked_for(self, picky: Host, new_config: NewConfig) -> None:
        config = new_config("b", mode=Mode.GENERIC)
        report = load(picky, config)
        assert (report.interfaces, report.warnings) == ({"b": "generic"}, ())
        with pytest.raises(DataplaneError, match=r"some in generic(.|\n)*icelane relay unload"):
            load(picky, replace(config, interfaces=("a", "b"), mode=Mode.NATIVE))
        with picky.inside():
            assert attached_mode("a") is None
        xdp.unload(config.instance)


class TestComesBack:
    """An interface that went away: the loader attaches it again, and so does an agent."""

    @pytest.fixture
    def config(self, host: Host, running: LoadConfig, new_config: NewConfig) -> LoadConfig:
        """Of an instance on a and d, the second of which has gone."""
        xdp.unload(running.instance)
        config = new_config("a", "d")
        with host.netlink() as netlink:
            netlink.link("add", ifname="d", kind="veth", peer="d-far")
            load(host, config)
            netlink.link("del", index=netlink.link_lookup(ifname="d")[0])
        return config

    @pytest.fixture
    def dataplane(self, config: LoadConfig) -> Iterator[xdp.XdpDataplane]:
        with closing(xdp.XdpDataplane(config.instance)) as dataplane:
            yield dataplane
        xdp.unload(config.instance)

    def bring_back(self, host: Host) -> int:
        with host.netlink() as netlink:
            netlink.link("add", ifname="d", kind="veth", peer="d-far")
            (index,) = netlink.link_lookup(ifname="d")
        return int(index)

    def remove(self, host: Host) -> None:
        with host.netlink() as netlink:
            netlink.link("del", index=netlink.link_lookup(ifname="d")[0])

    def test_the_loader_attaches_it(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        with host.inside():
            assert dataplane.status().interfaces == {"a": "native", "d": None}
        self.bring_back(host)
        load(host, config)
        with host.inside():
            assert dataplane.status().interfaces == {"a": "native", "d": "native"}
        self.remove(host)

    def test_a_running_dataplane_attaches_it(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        with host.inside():
            assert dataplane.look_around() == []  # it is still away
        index = self.bring_back(host)
        with host.inside():
            (said,) = dataplane.look_around()
            assert "d is back" in said
            assert dataplane.status().interfaces == {"a": "native", "d": "native"}
            assert dataplane.look_around() == []
        assert program_of(config, "d") == program_of(config, "a")
        with PinnedMap(Pins(config.instance).map("ports")) as ports:
            assert index in [each["value"]["ifindex"] for each in ports.show()]
        self.remove(host)

    def test_while_the_agent_forwards_it_runs_what_the_others_run(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        dataplane.hand_back()
        self.bring_back(host)
        with host.inside():
            dataplane.look_around()
        assert program_of(config, "d") == program_of(config, "a")
        dataplane.take_over()
        assert program_of(config, "d") == program_of(config, "a")
        self.remove(host)

    def test_somebody_elses_program_on_it_stays(
        self, host: Host, dataplane: xdp.XdpDataplane
    ) -> None:
        self.bring_back(host)
        pass_everything(host, "d")
        before = running_program(host, "d")
        with host.inside(), pytest.raises(DataplaneError, match="d runs another XDP program"):
            dataplane.look_around()
        assert running_program(host, "d") == before
        with host.netlink() as netlink:
            index = netlink.link_lookup(ifname="d")[0]
            netlink.link("set", index=index, IFLA_XDP={"attrs": [("IFLA_XDP_FD", -1)]})
        with host.inside():
            assert len(dataplane.look_around()) == 1  # when that has gone, ours comes
        self.remove(host)

    def test_one_that_cannot_does_not_make_the_others_forgotten(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        with host.netlink() as netlink:
            netlink.link("add", ifname="e", kind="veth", peer="e-far")
        self.bring_back(host)
        load(host, replace(config, interfaces=("a", "d", "e")))
        with host.netlink() as netlink:
            for name in ("d", "e"):
                netlink.link("del", index=netlink.link_lookup(ifname=name)[0])
                netlink.link("add", ifname=name, kind="veth", peer=f"{name}-far")
        pass_everything(host, "e")
        with host.inside():
            with pytest.raises(DataplaneError, match="e runs another XDP program"):
                dataplane.look_around()
            assert dataplane.status().interfaces == {"a": "native", "d": None, "e": None}
        with host.netlink() as netlink:
            netlink.link("del", index=netlink.link_lookup(ifname="e")[0])
        with host.inside():
            assert len(dataplane.look_around()) == 1
            assert dataplane.status().interfaces == {"a": "native", "d": "native", "e": None}
        self.remove(host)

    def test_it_runs_in_generic_mode_only_where_it_may(
        self, host: Host, config: LoadConfig, dataplane: xdp.XdpDataplane
    ) -> None:
        self.bring_back(host)
        load(host, replace(config, interfaces=("d",)))
        self.remove(host)
        self.bring_back(host)
        with host.netlink() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname="d-far")[0], mtu=9000, state="up")
        with (
            host.inside(),
            closing(xdp.XdpDataplane(config.instance, Mode.NATIVE)) as strict,
            pytest.raises(DataplaneError, match="driver of d refuses native mode"),
        ):
            strict.look_around()
        with host.inside():
            back, warning = dataplane.look_around()
            assert dataplane.status().interfaces == {"d": "generic"}
        assert "d is back" in back
        assert "generic mode, which is several times slower" in warning
        self.remove(host)


def test_unloading_leaves_nothing(host: Host, running: LoadConfig) -> None:
    assert xdp.unload(running.instance)
    assert not xdp.unload(running.instance)
    assert running.instance not in instances()
    with host.inside():
        assert attached_mode("a") is None


def test_an_interface_that_is_not_there(host: Host, new_config: NewConfig) -> None:
    with pytest.raises(DataplaneError, match=r"no interface nowhere0 here"):
        load(host, new_config("nowhere0"))


def test_mounts_of_its_own_are_noticed(host: Host, new_config: NewConfig) -> None:
    config = new_config("a")
    done = subprocess.run(
        ["ip", "netns", "exec", host.namespace, sys.executable, "-m", "relay.dataplane.loader"],
        input=config.dumps(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "nsenter --net=" in json.loads(done.stdout)["error"]


def test_without_root_it_is_said(new_config: NewConfig) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "relay.dataplane.loader"],
        input=replace(new_config("a"), interfaces=("lo",)).dumps(),
        capture_output=True,
        text=True,
        check=False,
        user=65534,
        group=65534,
        extra_groups=[],
    )
    assert "needs root" in json.loads(done.stdout)["error"]
