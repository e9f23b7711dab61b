"""Which worker a client belongs to: computed alike here and in the kernel.

The kernel gives each datagram for a VIP to one of the workers' sockets. It must be the same one
for all datagrams of a client, also after a worker or the whole relay was started again, so the
choice depends on the client's address and port, and a number that only this cluster knows: who
could compute it could send all load to one worker.
"""

import socket
import struct
from dataclasses import dataclass

from relay.wire.endpoint import Endpoint

# Odd, with its bits well mixed: the golden ratio, as a fraction of 32 bits.
_MULTIPLIER = 0x9E37_79B1
_SHIFT = 15
_WORD = 0xFFFF_FFFF

# linux/filter.h, of which classic BPF is made; A is its accumulator, X its other register.
_NETWORK = -0x10_0000 & _WORD  # SKF_NET_OFF: offsets from the IP header's start
_LOAD_NUMBER, _LOAD_WORD, _LOAD_HALF, _LOAD_HALF_AT_X = 0x00, 0x20, 0x28, 0x48
_X_IS_IPV4_HEADER_SIZE, _X_FROM_MEMORY, _X_IS_A, _STORE = 0xB1, 0x61, 0x07, 0x02
_XOR_X, _MULTIPLY, _SHIFT_RIGHT, _REMAINDER, _RETURN_A = 0xAC, 0x24, 0x74, 0x94, 0x16
_V6_HEADER_SIZE = 40

_Step = tuple[int, int]  # what, and with which number


@dataclass(frozen=True, slots=True)
class Shard:
    """The clients of one worker.

    Attributes:
        index: Its number, from 0.
        count: How many workers there are.
        seed: 32 bits that clients do not know.
    """

    index: int
    count: int
    seed: int

    def has(self, client: Endpoint) -> bool:
        """Whether a client belongs to this worker."""
        return shard_of(client, self.count, self.seed) == self.index


def shard_of(client: Endpoint, count: int, seed: int) -> int:
    """The number of the worker that a client belongs to, of `count`."""
    packed = client.packed
    address = packed[12:16] if client.family == socket.AF_INET else packed[:16]
    mixed = seed
    for word in (*struct.unpack(f"!{len(address) // 4}I", address), client.port):
        mixed = ((mixed ^ word) * _MULTIPLIER) & _WORD
        mixed ^= mixed >> _SHIFT
    return mixed % count


def reuseport_program(family: int, count: int, seed: int) -> bytes:
    """The same as instructions for the kernel: an array of struct sock_filter.

    An IPv6 packet is taken to have no extension headers; with some its client still has always
    the same worker, but perhaps not that of `shard_of`.
    """
    if family == socket.AF_INET:
        words = [[(_LOAD_WORD, _NETWORK + 12)]]
        port = [(_X_IS_IPV4_HEADER_SIZE, _NETWORK), (_LOAD_HALF_AT_X, _NETWORK)]
    else:
        words = [[(_LOAD_WORD, _NETWORK + offset)] for offset in range(8, 24, 4)]
        port = [(_LOAD_HALF, _NETWORK + _V6_HEADER_SIZE)]
    steps: list[_Step] = [(_LOAD_NUMBER, seed), (_STORE, 0)]
    for load in (*words, port):
        steps += load
        steps += [(_X_FROM_MEMORY, 0), (_XOR_X, 0), (_MULTIPLY, _MULTIPLIER)]
        steps += [(_X_IS_A, 0), (_SHIFT_RIGHT, _SHIFT), (_XOR_X, 0), (_STORE, 0)]
    steps += [(_REMAINDER, count), (_RETURN_A, 0)]
    return b"".join(struct.pack("=HBBI", what, 0, 0, number) for what, number in steps)
