"""The structures of traffic.h, as Python sees them. The same fields in the same order."""

import ctypes

MAX_FLOWS = 1_000_000
MAX_BURST = 64
BUCKETS = 1024
SUB_BITS = 5
MAGIC = b"ICLB"
RUN_ECHO = 0xFFFF_FFFF
RTP = bytes([0x80, 111])

STAMP_SIZE = 28
LEG_SIZE = 16
CHANNEL_HEADER_SIZE = 4

_u8, _u32, _u64 = ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64


class Plan(ctypes.Structure):
    """What to send (struct plan)."""

    _fields_ = (
        ("macs", _u8 * 12),
        ("flows", _u32),
        ("ip_length", _u8 * 2),
        ("udp_length", _u8 * 2),
        ("run", _u32),
        ("ip_sum", _u64),
        ("udp_sum", _u64),
        ("interval", _u64),
        ("duration", _u64),
        ("burst", _u32),
        ("ifindex", _u32),
    )


class Progress(ctypes.Structure):
    """What was sent (struct progress)."""

    _fields_ = (
        ("started", _u64),
        ("ended", _u64),
        ("clock", _u64),
        ("due", _u64),
        ("sent", _u64),
        ("flow", _u32),
        ("round", _u32),
    )


class Watch(ctypes.Structure):
    """What to look for (struct watch)."""

    _fields_ = (("run", _u32), ("timed", _u32))


class Tally(ctypes.Structure):
    """What arrived, on one processor (struct tally)."""

    _fields_ = (("packets", _u64), ("bytes", _u64), ("other", _u64), ("slowest", _u64))


class Counts(ctypes.Structure):
    """How many packets had which latency, on one processor (struct histogram)."""

    _fields_ = (("count", _u64 * BUCKETS),)
