"""A recogniser for a small grammar: pocketsphinx, with the model that its wheel carries.

The decoder holds the interpreter's lock while it works, so it works in processes of its own.

What is not in the grammar is not understood, rather than bent until it is. A hypothesis counts

* if it is a whole sentence of the grammar,
* if its words can have taken as long as was spoken (`_PAUSES` and `_SECONDS_A_PHONE`), and
* if its score is `SURE` or above, or at least `MIN_SCORE` and not behind that of any phones
  in a row, unbound by words, by more than `MIN_RATIO`. What is in no grammar fits phones better.

docs/design/agent.md has how well that parts the two.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transceiver.agent.skills.grammar import jsgf
from transceiver.agent.speech.errors import MissingPartError
from transceiver.agent.speech.workers import Workers
from transceiver.media.resample import WidebandDownsampler

_PAUSES, _SECONDS_A_PHONE = 1.5, 0.2  # people speak ten phones a second, slow ones six
SURE, MIN_SCORE, MIN_RATIO = 0.65, 0.3, 0.96
MAX_SECONDS = 30  # of a turn; its end is kept
_BYTES_A_SECOND = 48_000
_GRAMMARS = 8  # that a worker keeps
_PHONES = "phones"
# Digital silence between words is heard as something else by a model of recordings: so there is a
# floor of noise under all, 50 dB below full scale, the same each time.
_FLOOR = 100.0  # of 16 bits
_FRAME = 160  # samples at 16 kHz
_QUIET = 0.05  # of the loudest frame
_BEFORE, _AFTER = 4_800, 8_000  # samples of quiet around what is spoken
_MIN_SAMPLES = 800  # of speech: less holds no word


def spoken(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Sound with as much quiet before and after it as each turn has here; nothing if it has none.

    The decoder takes the mean of a turn for that of its microphone, and its score falls with the
    length of what it hears: so both must not depend on how long somebody was silent.
    """
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float32)
    if not frames.any():
        return samples[:0]
    levels = np.sqrt(np.square(frames).mean(axis=1))
    loud = np.flatnonzero(levels >= _QUIET * levels.max())
    start, end = loud[0] * _FRAME, (loud[-1] + 1) * _FRAME
    if end - start < _MIN_SAMPLES:
        return samples[:0]
    before, after = samples[max(0, start - _BEFORE) : start], samples[end : end + _AFTER]
    padding = (_BEFORE - len(before), _AFTER - len(after))
    return np.pad(np.concatenate((before, samples[start:end], after)), padding)


class Sphinx:
    """See `Recogniser`.

    Args:
        processes: How many turns are recognised at a time.
    """

    def __init__(self, processes: int | None = None) -> None:
        count = processes or min(4, max(1, (os.cpu_count() or 1) // 2))
        self._workers = Workers(f"{Decoding.__module__}:{Decoding.__name__}", count)

    async def open(self) -> None:
        """See `Recogniser`."""
        await self._workers.open()

    async def close(self) -> None:
        """See `Recogniser`."""
        await self._workers.close()

    @property
    def pids(self) -> list[int]:
        """The processes that it works in."""
        return self._workers.pids

    async def transcribe(self, pcm: bytes, *, phrases: Sequence[str] = ()) -> str:
        """See `Recogniser`."""
        whole = pcm[: len(pcm) // 2 * 2]
        sound = whole[-MAX_SECONDS * _BYTES_A_SECOND :]
        text: str = await self._workers.run({"phrases": list(phrases)}, sound)
        return text


class Decoding:
    """The work of a worker: a decoder with its grammars.

    Raises:
        MissingPartError: pocketsphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            import pocketsphinx  # noqa: PLC0415  # only workers load it
        except ImportError as error:
            raise MissingPartError(
                "The agent's recogniser needs pocketsphinx: pip install 'icelane[agent]'"
            ) from error
        self._decoder = pocketsphinx.Decoder(pocketsphinx.Config(lm=None, loglevel="FATAL"))
        model = pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin")
        self._decoder.add_allphone_file(_PHONES, model)
        self._floor = np.random.default_rng(1).normal(0, _FLOOR, 16_000).astype(np.int32)
        self._grammars: dict[tuple[str, ...], str] = {}
        self._made = 0
        self({"phrases": []}, bytes(_BYTES_A_SECOND // 2))

    def __call__(self, header: dict[str, Any], pcm: bytes) -> str:
        """What is said in it; empty where nothing was understood."""
        samples = spoken(WidebandDownsampler()(np.frombuffer(pcm, "<i2")))
        if not len(samples):
            return ""
        floor = np.resize(self._floor, len(samples))
        sound = np.clip(samples + floor, -32768, 32767).astype(np.int16).tobytes()
        name = self._grammar(tuple(header["phrases"]))
        text, score = self._decoded(name, sound)
        if score < MIN_SCORE or not self._decoder.get_fsg(name).accept(text):
            return ""
        if (len(samples) - _BEFORE - _AFTER) / 16_000 > _PAUSES + _SECONDS_A_PHONE * self._phones(
            text
        ):
            return ""
        if score < SURE and score < MIN_RATIO * self._decoded(_PHONES, sound)[1]:
            return ""
        return text

    def _decoded(self, search: str, sound: bytes) -> tuple[str, float]:
        """The best hypothesis of a search, and its score; nothing where none fits."""
        self._decoder.activate_search(search)
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(sound, full_utt=True)
        finally:
            self._decoder.end_utt()
        found = self._decoder.hyp()
        return (found.hypstr, found.score) if found and found.hypstr else ("", 0.0)

    def _phones(self, text: str) -> int:
        """Of how many phones words are made."""
        return sum(len(self._decoder.lookup_word(word).split()) for word in text.split())

    def _grammar(self, phrases: tuple[str, ...]) -> str:
        if phrases in self._grammars:
            return self._grammars[phrases]
        if len(self._grammars) >= _GRAMMARS:
            oldest = next(each for each in self._grammars if each)  # the one without stays
            self._decoder.remove_search(self._grammars.pop(oldest))
        self._made += 1
        name = f"grammar{self._made}"
        known = tuple(phrase for phrase in phrases if self._knows(phrase))
        self._decoder.add_jsgf_string(name, jsgf(known))
        self._grammars[phrases] = name
        return name

    def _knows(self, phrase: str) -> bool:
        """Whether all its words are in the dictionary: a grammar with another one is refused."""
        words = phrase.lower().split()
        return bool(words) and all(self._decoder.lookup_word(word) for word in words)
