"""FFmpeg's muxer for WHIP, by PyAV: says a tone for some seconds."""

import argparse
import time
from fractions import Fraction

import av
import numpy as np

RATE, FRAME = 48_000, 960


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    # As DTLS server, its default, it waits for ever where it cannot agree on anything.
    options = {"whip_flags": "dtls_active"}
    with av.open(arguments.url, "w", format="whip", options=options) as out:
        stream = out.add_stream("libopus", rate=RATE, layout="stereo")
        began = time.monotonic()
        for number in range(int(arguments.seconds * RATE / FRAME)):
            time.sleep(max(0.0, began + number * FRAME / RATE - time.monotonic()))
            moments = (np.arange(FRAME) + number * FRAME) / RATE
            wave = (8000 * np.sin(2 * np.pi * 440 * moments)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(
                np.repeat(wave, 2).reshape(1, -1), format="s16", layout="stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE, number * FRAME, Fraction(1, RATE)
            out.mux(stream.encode(frame))


if __name__ == "__main__":
    main()
