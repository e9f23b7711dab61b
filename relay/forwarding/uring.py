"""io_uring, as much of it as serves to do many things with one system call.

Every request is one that the kernel can do at once or refuse, so all have ended when the call
returns, and nothing is ever under way. Requests are prepared once, and changed where they differ.
"""

import ctypes
import errno
import mmap
import os
import struct
from array import array

# From linux/io_uring.h.
OP_SENDMSG, OP_RECVMSG, OP_SEND = 9, 10, 26
SKIP_SUCCESS = 1 << 6  # IOSQE_CQE_SKIP_SUCCESS: only failures complete; Linux 5.17
_SUBMIT_ALL = 1 << 7  # IORING_SETUP_SUBMIT_ALL: a bad request does not stop the others; Linux 5.18
_OFF_SQES = 0x1000_0000
_SETUP, _ENTER = 425, 426  # asm-generic/unistd.h, the same on all of today's architectures
_PARAMS_SIZE = 120
_PARAMS_FLAGS = 8
_REQUEST = struct.Struct("=BBHiQQIIQ")  # struct io_uring_sqe: opcode to user_data, 40 of 64 bytes
_REQUEST_SIZE, _COMPLETION_SIZE = 64, 16

_libc = ctypes.CDLL(None, use_errno=True)
_enter = ctypes.CDLL(None, use_errno=True).syscall
_enter.argtypes = [
    *(ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint),
    *(ctypes.c_void_p, ctypes.c_size_t),
]


class Ring:
    """A ring of prepared requests.

    Args:
        entries: How many requests there are; a power of two.

    Attributes:
        fds: The file of each request, to be written before it is submitted.
        lengths: The length of each, likewise.

    Raises:
        OSError: This kernel has no such ring, or does not let this process have one.
    """

    def __init__(self, entries: int) -> None:
        params = bytearray(_PARAMS_SIZE)
        struct.pack_into("=I", params, _PARAMS_FLAGS, _SUBMIT_ALL)
        setup = (ctypes.c_char * _PARAMS_SIZE).from_buffer(params)
        self._fd = _libc.syscall(_SETUP, entries, setup)
        if self._fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        # struct io_uring_params: ten words, then where in the memory each part of both rings is.
        words = struct.unpack_from("=30I", params)
        submission, completion = words[10:], words[20:]
        self._mask, self._completion_mask = entries - 1, words[1] - 1
        size = max(submission[6] + 4 * entries, completion[5] + _COMPLETION_SIZE * words[1])
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        # Both keep a duplicate of the file open until they are gone.
        self._shared = memoryview(mmap.mmap(self._fd, size, flags))
        self._requests = memoryview(
            mmap.mmap(self._fd, entries * _REQUEST_SIZE, flags, offset=_OFF_SQES)
        )
        self._words = self._shared.cast("I")[: size // 4]
        self._head, self._tail = submission[0] // 4, submission[1] // 4
        self._order = self._words[submission[6] // 4 :][:entries]
        self._numbers = memoryview(array("I", range(entries)))
        self._done_head, self._done_tail = completion[0] // 4, completion[1] // 4
        done = self._shared[completion[5] :][: _COMPLETION_SIZE * words[1]]
        self._done_requests, self._done_results = done.cast("Q")[0::2], done.cast("i")[2::4]
        self.fds = self._requests.cast("i")[1::16]
        self.lengths = self._requests.cast("I")[6::16]

    def prepare(self, request: int, opcode: int, address: int, length: int, flags: int = 0) -> None:
        """Describe a request: what it does to a socket, with which memory; it never waits."""
        at, wait = request * _REQUEST_SIZE, 0x40  # MSG_DONTWAIT
        _REQUEST.pack_into(
            self._requests, at, opcode, flags, 0, -1, 0, address, length, wait, request
        )

    def submit(self, first: int, count: int) -> list[tuple[int, int]]:
        """Do some requests, from the first one on, in their order.

        Returns:
            Those that completed, each with its result: a size, or a negative error number.
        """
        words, end = self._words, first + count
        tail = words[self._tail]
        start = tail & self._mask
        fit = min(count, self._mask + 1 - start)
        self._order[start : start + fit] = self._numbers[first : first + fit]
        if fit < count:
            self._order[: count - fit] = self._numbers[first + fit : end]
        words[self._tail] = (tail + count) & 0xFFFF_FFFF
        taken = int(_enter(_ENTER, self._fd, count, 0, 0, None, 0))
        completed = self._completed()
        if taken < count:  # the kernel lacks memory
            words[self._tail] = words[self._head]
            completed += [(each, -errno.ENOBUFS) for each in range(first + max(0, taken), end)]
        return completed

    def close(self) -> None:
        """Let go of the ring."""
        os.close(self._fd)

    def _completed(self) -> list[tuple[int, int]]:
        words = self._words
        head, tail = words[self._done_head], words[self._done_tail]
        if head == tail:
            return []
        places = [
            at & self._completion_mask for at in range(head, head + ((tail - head) & 0xFFFF_FFFF))
        ]
        words[self._done_head] = tail
        requests, results = self._done_requests, self._done_results
        return [(requests[at], results[at]) for at in places]
