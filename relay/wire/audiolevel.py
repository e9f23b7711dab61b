"""How loud audio is, as each RTP packet of it may tell in a header extension (RFC 6464)."""

import math

SILENCE = -127
_FULL_SCALE = 32767


def audio_level(pcm: memoryview, samples: int) -> int:
    """The level of some audio in dBov, from `SILENCE` to 0 (RFC 6465, appendix A).

    Args:
        pcm: Signed 16-bit samples in the host's byte order, of several channels in any order.
        samples: How many of them count; a buffer may be longer.
    """
    # The root of the sum of squares, without a step of Python for each sample.
    energy = math.hypot(*memoryview(pcm).cast("h")[:samples])
    if energy == 0:
        return SILENCE
    level = 20 * math.log10(energy / math.sqrt(samples) / _FULL_SCALE)
    return round(min(0, max(SILENCE, level)))
