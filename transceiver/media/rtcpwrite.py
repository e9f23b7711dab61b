"""RTCP packets: writing. The counterpart of `rtcp`, whose `parse` reads all of it."""

import struct
from collections.abc import Iterable, Sequence

from transceiver.media import rtcp, transportcc
from transceiver.media.rtcp import LastReport, ReportBlock

_SECOND_BYTE_MAX = 31  # a count has five bits


def packet(kind: int, count: int, body: bytes) -> bytes:
    """One packet; its body is padded with zeros to whole words."""
    body += bytes(-len(body) % 4)
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def sender_report(report: rtcp.SenderReport) -> bytes:
    """SR; at most 31 blocks of it."""
    blocks = report.blocks[:_SECOND_BYTE_MAX]
    head = struct.pack(
        "!IQIII",
        report.ssrc,
        report.ntp & 0xFFFF_FFFF_FFFF_FFFF,
        report.timestamp & 0xFFFF_FFFF,
        report.packets & 0xFFFF_FFFF,
        report.octets & 0xFFFF_FFFF,
    )
    return packet(rtcp.SENDER_REPORT, len(blocks), head + _blocks(blocks))


def receiver_report(report: rtcp.ReceiverReport) -> bytes:
    """RR; at most 31 blocks of it."""
    blocks = report.blocks[:_SECOND_BYTE_MAX]
    return packet(
        rtcp.RECEIVER_REPORT, len(blocks), struct.pack("!I", report.ssrc) + _blocks(blocks)
    )


def _blocks(blocks: Sequence[ReportBlock]) -> bytes:
    parts = []
    for each in blocks:
        fraction = max(0, min(255, int(each.fraction_lost * 256)))
        lost = max(-0x800000, min(0x7FFFFF, each.lost)) & 0xFFFFFF
        parts.append(
            rtcp.block.pack(
                each.ssrc,
                fraction << 24 | lost,
                each.highest & 0xFFFF_FFFF,
                min(each.jitter, 0xFFFF_FFFF),
                each.last_report,
                min(each.delay, 0xFFFF_FFFF),
            )
        )
    return b"".join(parts)


def description(ssrc: int, cname: str) -> bytes:
    """SDES with the canonical name, of at most 255 bytes."""
    name = cname.encode()[:255]
    # A byte of zeros ends the items, even where the length is whole words without it.
    body = struct.pack("!IBB", ssrc, rtcp.CNAME, len(name)) + name + b"\0"
    return packet(rtcp.DESCRIPTION, 1, body)


def goodbye(ssrc: int) -> bytes:
    """BYE."""
    return packet(rtcp.GOODBYE, 1, struct.pack("!I", ssrc))


def nack(ssrc: int, media: int, lost: Iterable[int]) -> bytes:
    """Generic NACK for 16-bit sequence numbers, in the order in which they were sent."""
    pairs: list[list[int]] = []
    for number in lost:
        distance = number - pairs[-1][0] - 1 & 0xFFFF if pairs else 0xFFFF
        if distance < 16:
            pairs[-1][1] |= 1 << distance
        else:
            pairs.append([number, 0])
    body = struct.pack("!II", ssrc, media) + b"".join(struct.pack("!HH", *pair) for pair in pairs)
    return packet(rtcp.TRANSPORT_FEEDBACK, rtcp.NACK, body)


def transport_feedback(feedback: transportcc.Feedback) -> bytes:
    """Transport-wide feedback."""
    body = struct.pack("!II", feedback.ssrc, feedback.media) + transportcc.write(feedback)
    return packet(rtcp.TRANSPORT_FEEDBACK, rtcp.TRANSPORT_CC, body)


def remb(ssrc: int, bitrate: int, ssrcs: Sequence[int]) -> bytes:
    """REMB; the bitrate in bits a second is cut to 18 bits of precision."""
    exponent = max(0, bitrate.bit_length() - 18)
    rate = len(ssrcs) << 24 | exponent << 18 | bitrate >> exponent
    body = struct.pack(f"!II4sI{len(ssrcs)}I", ssrc, 0, rtcp.REMB, rate, *ssrcs)
    return packet(rtcp.PAYLOAD_FEEDBACK, rtcp.APPLICATION, body)


def extended_report(ssrc: int, reference: int | None, answers: Sequence[LastReport] = ()) -> bytes:
    """XR with our time (RRTR), answers to the times of others (DLRR), or both.

    Args:
        ssrc: Ours.
        reference: NTP time in 1/2**32 seconds; None for no such block.
        answers: At most 31 are written.
    """
    body = struct.pack("!I", ssrc)
    if reference is not None:
        body += struct.pack("!BBHQ", rtcp.REFERENCE_TIME, 0, 2, reference)
    if answers:
        answers = answers[: rtcp.MAX_LIST]
        body += struct.pack("!BBH", rtcp.LAST_REPORTS, 0, 3 * len(answers))
        body += b"".join(struct.pack("!III", *each) for each in answers)
    return packet(rtcp.EXTENDED_REPORT, 0, body)
