"""Chromium's own redundancy (RED, RFC 2198), which a page asks for by the order of codecs."""

import json
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

from tests.e2e.page.conftest import Page
from tests.ports import free_port

PREFER_RED = """
const add = RTCPeerConnection.prototype.addTrack;
RTCPeerConnection.prototype.addTrack = function (...given) {
  const sender = add.apply(this, given);
  const codecs = RTCRtpReceiver.getCapabilities("audio").codecs;
  const isRed = (codec) => codec.mimeType === "audio/red";
  for (const each of this.getTransceivers())
    each.setCodecPreferences([...codecs.filter(isRed), ...codecs.filter((c) => !isRed(c))]);
  return sender;
};
"""


def test_a_page_that_prefers_redundancy_sends_it_and_is_heard(
    page: Page, host: Callable[..., Any]
) -> None:
    control = free_port()
    with host("--backend", "echo", "--control", str(control)) as serving:
        page.open(serving.url)
        page.run(PREFER_RED)
        page.call()
        page.wait(lambda: page.run("return icelane.statistics.energy > 1e-3"))
        sessions = f"http://127.0.0.1:{control}/v1/sessions"
        (call,) = _get(sessions)["sessions"]
        counted = _get(f"{sessions}/{call['id']}")["audio"]
    # Others have padding alone: Chromium measures the path with them.
    assert counted["rtp_redundant"] > 0.3 * counted["received"] > 5
    assert "rtp_unknown_payload_type" not in counted
    assert "rtp_red_malformed" not in counted


def _get(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:  # noqa: S310  # ours
        return json.load(answer)
