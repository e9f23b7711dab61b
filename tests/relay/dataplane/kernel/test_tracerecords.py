"""Records as the program writes them, by the layout that the kernel would tell."""

from relay.dataplane.kernel.btf import Layout, Leaf
from relay.dataplane.kernel.tracerecords import RecordReader, TraceRecord
from relay.wire.endpoint import Endpoint

HELD = Layout(
    "trace_held",
    200,
    (
        Leaf("record.time_ns", 0, 8, 1, "__u64"),
        Leaf("record.client.word", 8, 4, 4, "__be32"),
        Leaf("record.frame_length", 24, 4, 1, "__u32"),
        Leaf("record.client_port", 28, 2, 1, "__be16"),
        Leaf("record.direction", 30, 1, 1, "__u8"),
        Leaf("record.reason", 31, 1, 1, "__u8"),
        Leaf("record.verdict", 32, 1, 1, "__u8"),
        Leaf("record.kept", 33, 1, 1, "__u8"),
        Leaf("record.frame", 34, 1, 126, "__u8"),
        Leaf("waits", 160, 8, 1, "__u64"),
    ),
)
COUNTERS = Layout(
    "counters", 16, (Leaf("control", 0, 8, 1, "__u64"), Leaf("zero_port", 8, 8, 1, "__u64"))
)
CLIENT = Endpoint("203.0.113.2", 40000)
FIELDS: dict[str, bytes | int] = {
    "record.time_ns": 1_500_000_000,
    "record.client.word": CLIENT.packed[:16],
    "record.client_port": CLIENT.port,
    "record.frame_length": 999,
    "record.direction": 2,
    "record.reason": 1,
    "record.verdict": 1,
    "record.kept": 3,
    "record.frame": b"abc" + bytes(123),
    "waits": 1,
}


def test_a_record_is_read() -> None:
    reader = RecordReader(HELD, COUNTERS)
    assert reader.size == 160
    assert reader.read(HELD.pack(FIELDS)[: reader.size]) == TraceRecord(
        1.5, CLIENT, True, "drop", "zero_port", 999, b"abc"
    )


def test_a_reason_that_nobody_knows() -> None:
    told = RecordReader(HELD, COUNTERS).read(HELD.pack(FIELDS | {"record.reason": 2}))
    assert (told.verdict, told.reason) == ("unknown", "unknown")
