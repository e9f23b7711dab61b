"""Calls by way of an SFU: Janus stands where the relay stood, and has both ends' connections."""

import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass

from relay.wire.endpoint import Endpoint
from tests.bench.alternatives.sfu import gateway
from tests.bench.compare.calls.calltestbed import CallPath, CallTestbed
from tests.lab.config import SIGNALING_ENDPOINT, SIGNALING_URL, UPSTREAM
from tests.lab.service import Service
from tests.lab.topology import RELAY, TRANSCEIVER

_JANUS_SERVICE, _GATEWAY_SERVICE = "janus", "gateway"

_API = Endpoint(UPSTREAM, 8188)
_LISTEN = SIGNALING_ENDPOINT._replace(port=8081)


@dataclass(frozen=True, slots=True)
class SfuPath(CallPath):
    """The path through Janus."""

    def missing(self) -> str | None:
        """Why it cannot be measured on this machine."""
        if shutil.which("janus") is None:
            return "Janus is not installed: apt-get install janus"
        return None

    def testbed(self) -> CallTestbed:
        """A testbed in which calls take it, not yet entered."""
        return SfuTestbed(self)


class SfuTestbed(CallTestbed):
    """A testbed with Janus on the relay's host, and a gateway that signals for it."""

    def _open(self, stack: ExitStack) -> None:
        """Bring it up.

        Raises:
            LabError: A part of it does not start.
        """
        super()._open(stack)
        configuration = self.lab.directory / "sfu"
        configuration.mkdir()
        for name, text in files().items():
            (configuration / name).write_text(text, "ascii")
        self.start_middle()
        self.url = f"http://{_LISTEN}"

    @property
    def middle(self) -> str:
        """The service that clients send their media to."""
        return _JANUS_SERVICE

    def start_middle(self) -> None:
        """Start Janus, and the gateway, which ends with it.

        Raises:
            LabError: One of them does not start.
        """
        self._runner.stop(_GATEWAY_SERVICE)
        janus = ("janus", "--configs-folder", str(self.lab.directory / "sfu"))
        command = (
            *(sys.executable, "-m", gateway.__name__),
            *(str(_LISTEN), f"ws://{_API}", SIGNALING_URL),
        )
        for service in (
            Service(_JANUS_SERVICE, RELAY, janus, ready="WebSockets thread started"),
            Service(_GATEWAY_SERVICE, TRANSCEIVER, command, ready="^ready"),
        ):
            self._runner.start(service, self.lab.hosts[service.host]).wait()


def files() -> dict[str, str]:
    """Janus's configuration, by name of the file: one plugin, one way to talk to it."""
    return {
        "janus.jcfg": _JANUS,
        "janus.transport.websockets.jcfg": _WEBSOCKETS.format(api=_API),
        "janus.plugin.videocall.jcfg": "general: {\n}\n",
    }


_JANUS = """\
general: {
    debug_level = 4
    debug_colors = false
}
media: {
    ipv6 = false
}
plugins: {
    disable = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,\
libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,\
libjanus_textroom.so,libjanus_videoroom.so,libjanus_voicemail.so"
}
transports: {
    disable = "libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,\
libjanus_rabbitmq.so"
}
"""
_WEBSOCKETS = """\
general: {{
    json = "compact"
    ws = true
    ws_port = {api.port}
    ws_ip = "{api.host}"
    wss = false
}}
admin: {{
    admin_ws = false
}}
"""
