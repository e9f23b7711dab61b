"""nginx's stream module as a UDP proxy."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.compare.systems.opening import NO_UFRAG, open_flows
from tests.bench.compare.systems.room import most_sockets
from tests.bench.compare.testbed.system import RunningSystem
from tests.bench.compare.testbed.testbed import Testbed
from tests.lab.topology import RELAY

_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
_PROGRAMS = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_MORE_FLOWS = 20_000  # that there is room for beyond those that are opened at once


class Nginx:
    """nginx with one worker."""

    name = "nginx stream"
    max_flows = most_sockets()

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        if _program() is None or not _MODULE.exists():
            return "nginx is not installed: apt-get install nginx libnginx-mod-stream"
        return None

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Run it, on one core, with flows opened through it.

        Raises:
            LabError: It does not start, or flows do not open.
        """
        ports = testbed.upstream_ports
        with testbed.hosts[RELAY].inside():
            # It leaves the choice of ports to the kernel, which has too few of them by itself.
            _PORT_RANGE.write_text(f"{ports[0]} {ports[-1]}", encoding="ascii")
        file = testbed.directory / "nginx.conf"
        file.write_text(configuration(testbed, flows), encoding="ascii")
        command = [_program() or "nginx", "-e", "stderr", "-p", str(testbed.directory)]
        with testbed.start([*command, "-c", str(file)], ready="start worker process ") as started:
            opened = open_flows(testbed, testbed.vip, lambda: NO_UFRAG, flows)
            yield RunningSystem(opened, started.pids, lambda: NO_UFRAG, started.restart)


def configuration(testbed: Testbed, flows: int) -> str:
    """The configuration, tuned for this work.

    `proxy_responses` is not set: a session lasts until it times out, however many packets come
    back. A session takes two connections, for its client and for its upstream socket. With
    `multi_accept` a worker takes all that clients have sent before it asks for more events.
    """
    connections = 2 * (flows + _MORE_FLOWS) + 1024
    return f"""\
load_module {_MODULE};
daemon off;
user root;
pid nginx.pid;
error_log stderr notice;
worker_processes 1;
worker_rlimit_nofile {connections + 1024};
events {{
	use epoll;
	multi_accept on;
	worker_connections {connections};
}}
stream {{
	access_log off;
	server {{
		listen {testbed.vip} udp reuseport rcvbuf=8m sndbuf=8m;
		proxy_bind {testbed.upstreams[0]};
		proxy_pass {testbed.transceiver};
		proxy_timeout 1h;
		proxy_buffer_size 2k;
	}}
}}
"""


def _program() -> str | None:
    return shutil.which("nginx", path=_PROGRAMS)
