"""The helper's side: a fixed set of requests, whose arguments name nothing that is not configured.

Whoever has taken the agent over can ask for all of this, and for nothing else: it is the relay's
own instance, interfaces and addresses that are worked on, whatever a request says.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from relay.dataplane.kernel import bpfsys, owner
from relay.dataplane.kernel.config import Mode
from relay.dataplane.kernel.ingresses import find_outside
from relay.dataplane.kernel.pinnedmap import missing_map
from relay.dataplane.kernel.privileged import AsRoot
from relay.dataplane.kernel.socketfilter import FilterPrograms
from relay.errors import BindError, DataplaneError, IcelaneError
from relay.forwarding.icmp import open_icmp_socket
from relay.forwarding.steered import open_udp_socket
from relay.run.config import RelayConfig
from relay.run.helper import wire
from relay.wire.endpoint import Endpoint

#: The maps that an agent works on. The others, such as that of rates, are written by loading.
MAPS = frozenset(
    {
        *("flow_records", "flow_routes", "flow_index", "flow_hash", "transceivers", "ways_out"),
        *("own_vips", "own_upstreams", "counters", "losses", "dormant_clients"),
        *("leases", "hops", "ingresses", "tx_ports", "own_vlans", "route_keys", "edges"),
    }
)
_CLUSTERS, _SLOTS, _KEY = 1 << 16, 8, 16  # numbers of both, and bytes of a route key

_SO_LOCK_FILTER = 44  # asm-generic/socket.h

Answer = tuple[Any, Sequence[int]]  # what JSON can hold, and descriptors, which are closed then


class Server:
    """Answers the requests of one agent.

    Args:
        config: The relay's settings.
        kernel: The relay's instance.
    """

    def __init__(self, config: RelayConfig, kernel: AsRoot) -> None:
        self._config = config
        self._kernel = kernel
        self._opened = ExitStack()
        self._filters: FilterPrograms | None = None
        self._requests: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
            "is_loaded": lambda _: (kernel.is_loaded(), ()),
            "require_not_elsewhere": _act(kernel.require_not_elsewhere),
            "open": self._open,
            "linked": lambda _: (kernel.linked(), ()),
            "read_ticks": lambda _: (kernel.read_ticks().read_at, ()),
            "grace_period": lambda _: (None, kernel.grace_period().filenos()),
            "load": self._load,
            "unload": lambda _: (kernel.unload(), ()),
            "steer_sockets": lambda _: (None, [kernel.open_steer_sockets()]),
            "forward": self._forward,
            "follow_interfaces": self._follow_interfaces,
            "run_generic": self._run_generic,
            "refusing": self._refusing,
            "mend_forwarding": lambda _: (kernel.mend_forwarding(), ()),
            "probe_neighbours": _act(kernel.probe_neighbours),
            "unseen": lambda _: (kernel.unseen(), ()),
            "udp_socket": self._udp_socket,
            "icmp_socket": self._icmp_socket,
            "filter": self._filter,
        }

    def serve(self, connection: socket.socket) -> None:
        """Answer until the agent has gone, or says what is no message."""
        with self._opened:
            while True:
                try:
                    request, files = wire.receive(connection)
                except (EOFError, OSError, ValueError):
                    return
                for fd in files:  # it takes none
                    os.close(fd)
                answer, files = self.answer(request)
                try:
                    _answer(connection, answer, files)
                except OSError:
                    return
                finally:
                    for fd in files:
                        os.close(fd)

    def answer(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """Do what is asked, or say why not; and the descriptors that go along."""
        do = request.get("do")
        try:
            value, files = self._handler(do)(request)
        except BindError as error:
            return {"bind": str(error)}, []
        except IcelaneError as error:
            return {"error": str(error)}, []
        except OSError as error:
            return {"errno": error.errno or 0, "error": error.strerror or str(error)}, []
        except Exception as error:  # noqa: BLE001  # it goes on, whatever it was asked
            return {"error": f"The privileged helper cannot {do}: {error!r}."}, []
        return {"value": value}, list(files)

    def _handler(self, do: object) -> Callable[[Mapping[str, Any]], Answer]:
        if not isinstance(do, str) or do not in self._requests:
            raise _refused(f"there is no request {do!r}")
        return self._requests[do]

    def _open(self, request: Mapping[str, Any]) -> Answer:
        """A map, its pin, by which it is seen that it is pinned no more, and its types."""
        name = request.get("name")
        if not isinstance(name, str) or name not in MAPS:
            raise _refused(f"no agent works on a map {name!r}")
        owner.require_not_elsewhere(self._kernel)
        path = self._kernel.map(name)
        with ExitStack() as opened:
            pin = _kept(_open_pin(path), opened)
            table = _kept(bpfsys.obj_get(path), opened)
            types = _kept(bpfsys.btf_by_id(bpfsys.map_info(table).btf_id), opened)
            opened.pop_all()
        return None, [table, pin, types]

    def _load(self, request: Mapping[str, Any]) -> Answer:
        config = self._config.load_config_of(
            _route_keys(request.get("route_keys")), _clusters(request.get("remote"))
        )
        report = self._kernel.load(replace(config, pass_all=_flag(request, "pass_all")))
        return asdict(report), ()

    def _forward(self, request: Mapping[str, Any]) -> Answer:
        self._kernel.forward(on=_flag(request, "on"))
        return None, ()

    def _follow_interfaces(self, request: Mapping[str, Any]) -> Answer:
        on = _flag(request, "on")
        return self._kernel.follow_interfaces(on=on, mode=self._config.mode), ()

    def _run_generic(self, request: Mapping[str, Any]) -> Answer:
        if self._config.mode is not Mode.AUTO:
            raise _refused(f"interfaces run the program in {self._config.mode} mode here")
        self._kernel.run_generic(on=_flag(request, "on"))
        return None, ()

    def _refusing(self, request: Mapping[str, Any]) -> Answer:
        asked, linked = request.get("asked"), self._kernel.linked()
        if not isinstance(asked, dict) or not asked.items() <= linked.items():
            raise _refused("those are no interfaces that run the program")
        return self._kernel.refusing(asked), ()

    def _udp_socket(self, request: Mapping[str, Any]) -> Answer:
        host = _host(request, self._config.upstreams)
        raw = open_udp_socket(Endpoint(host, 0).family, host)
        # It stays deaf, whoever has it.
        raw.setsockopt(socket.SOL_SOCKET, _SO_LOCK_FILTER, 1)
        return None, [raw.detach()]

    def _icmp_socket(self, request: Mapping[str, Any]) -> Answer:
        vips = [vip.host for vip in self._config.vips]
        return None, [open_icmp_socket(_host(request, [*vips, *self._config.upstreams])).detach()]

    def _filter(self, request: Mapping[str, Any]) -> Answer:
        """The map of what is counted, and the program for sockets of a kind."""
        family = socket.AF_INET6 if _flag(request, "v6") else socket.AF_INET
        to_transceivers = _flag(request, "to_transceivers")
        if self._filters is None:
            config = self._config
            vips = {vip.host for vip in config.vips}
            outside = find_outside(config.interfaces, vips, config.upstreams)
            self._filters = FilterPrograms(outside)
            self._opened.callback(self._filters.close)
        program = self._filters.program(family, to_transceivers=to_transceivers)
        return None, [os.dup(self._filters.counts), os.dup(program)]


def _answer(connection: socket.socket, answer: Mapping[str, Any], files: Sequence[int]) -> None:
    try:
        wire.send(connection, answer, files)
    except OSError as error:  # such as too large: nothing was sent, and the agent waits
        wire.send(connection, {"errno": error.errno or 0, "error": error.strerror or str(error)})


def _act(act: Callable[[], None]) -> Callable[[Mapping[str, Any]], Answer]:
    def handle(_: Mapping[str, Any]) -> Answer:
        act()
        return None, ()

    return handle


def _refused(why: str) -> DataplaneError:
    return DataplaneError(f"The privileged helper refuses: {why}.")


def _flag(request: Mapping[str, Any], name: str) -> bool:
    value = request.get(name)
    if not isinstance(value, bool):
        raise _refused(f"{name} is {value!r}")
    return value


def _host(request: Mapping[str, Any], known: Sequence[str]) -> str:
    host = request.get("host")
    if not isinstance(host, str) or host not in known:
        raise _refused(f"{host!r} is none of the relay's addresses")
    return host


def _route_keys(told: Any) -> dict[tuple[int, int], bytes]:
    """The keys by cluster and slot, of a list of these three, a key in hex digits."""
    try:
        keys = {(int(cluster), int(slot)): bytes.fromhex(key) for cluster, slot, key in told}
    except (TypeError, ValueError):
        raise _refused("those are no route keys") from None
    for (cluster, slot), key in keys.items():
        if not (0 <= cluster < _CLUSTERS and 0 <= slot < _SLOTS and len(key) == _KEY):
            raise _refused("those are no route keys")
    return keys


def _clusters(told: Any) -> frozenset[int]:
    """Numbers of clusters, of a list of them."""
    if not isinstance(told, list) or not all(
        type(each) is int and 0 <= each < _CLUSTERS for each in told
    ):
        raise _refused("those are no clusters")
    return frozenset(told)


def _open_pin(path: Path) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise missing_map(path) from None


def _kept(fd: int, opened: ExitStack) -> int:
    opened.callback(os.close, fd)
    return fd
