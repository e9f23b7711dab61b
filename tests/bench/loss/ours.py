"""The packets through this transceiver's receiver, in simulated time."""

import time
from collections import deque
from collections.abc import Sequence

import numpy as np

from tests.bench.loss.material import CLOCK_RATE, PAYLOAD_TYPE
from tests.bench.loss.network import FRAME, Arrival
from tests.bench.loss.played import Played
from transceiver.media.codec import FRAME_SAMPLES, make_decoder
from transceiver.media.receiver import Receiver
from transceiver.plan import Codec

_PHASE = 0.007  # seconds from the sending of a packet to the next pull: neither best nor worst


def play(arrivals: Sequence[Arrival], frames: int) -> Played:
    """Play what comes, for so many frames of 20 ms."""
    receiver = Receiver(lambda _: make_decoder(Codec.OPUS), clock_rates={PAYLOAD_TYPE: CLOCK_RATE})
    waiting = deque(arrivals)
    # Before the first pull nothing is heard.
    made = [np.zeros(round(_PHASE / FRAME * FRAME_SAMPLES), np.int16).tobytes()]
    start = time.thread_time()
    for index in range(frames):
        now = FRAME * index + _PHASE
        while waiting and waiting[0].time <= now:
            arrival = waiting.popleft()
            receiver.insert(arrival.packet, arrival.time)
        made.append(receiver.pull(now))
    took = time.thread_time() - start
    pcm = np.frombuffer(b"".join(made), np.int16)
    return Played(pcm, receiver.stats["concealed"] / len(pcm), took / frames * 1e6)
