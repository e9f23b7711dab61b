"""Measures the agent's parts on sound that the agent's own engines make."""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np

from tests.bench.agent.sentences import ANSWER, OTHERS, UNDERSTOOD
from transceiver.agent.skills import Situation, Skills
from transceiver.agent.speech.activity import CHUNK, load
from transceiver.agent.speech.ear import Ear
from transceiver.agent.speech.engines import Engine, engines
from transceiver.agent.speech.levels import RATE, evened
from transceiver.agent.speech.sphinx import Decoding, Sphinx
from transceiver.agent.speech.voice import Voice
from transceiver.media.resample import WidebandDownsampler

_PADDING, _SILENCE = 0.3, 0.5  # seconds around a turn, as an ear cuts it
NOISES = (0.0, 0.003, 0.01)  # of full scale: none, and 30 and 19 dB below the voice


@dataclass(frozen=True)
class Cost:
    """What a part takes: milliseconds of processor time for a second of sound."""

    part: str
    median: float
    least: float


@dataclass(frozen=True)
class Delay:
    """How long somebody waits, in milliseconds."""

    what: str
    median: float
    most: float


@dataclass(frozen=True)
class Memory:
    """What a thing takes, in KiB."""

    what: str
    kib: float


@dataclass(frozen=True)
class Understanding:
    """What a recogniser makes of sentences.

    Attributes:
        voice: Who says them.
        noise: Under them, root of the mean square, of full scale.
        word_errors: Of the grammar's sentences, a share of their words.
        silent: The share of the grammar's sentences of which nothing was understood.
        false: The share of other sentences of which something was understood.
    """

    voice: str
    noise: float
    word_errors: float
    silent: float
    false: float


def turn(engine: Engine, text: str, noise: float = 0.0, seed: int = 1) -> bytes:
    """A sentence as a turn of the user."""
    said = np.frombuffer(evened(engine.say(text, engine.voices[0], 1.0), 0), "<i2")
    edges = np.zeros(round(RATE * _PADDING)), np.zeros(round(RATE * _SILENCE))
    sound = np.concatenate((edges[0], said / 32768, edges[1]))
    sound = sound + np.random.default_rng(seed).normal(0, noise, len(sound))
    pcm: bytes = np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()
    return pcm


def costs(rounds: int) -> Iterator[Cost]:
    """What each part costs."""
    engine = engines()[0]
    sound = b"".join(turn(engine, text) for text in UNDERSTOOD[:8])
    samples = np.frombuffer(sound, "<i2")
    frames = [sound[at : at + 960] for at in range(0, len(sound), 960)]
    seconds = len(samples) / RATE
    model = load()
    detector, resampler, wide = model.detector(), WidebandDownsampler(), WidebandDownsampler()
    low = wide(samples)
    chunks = [low[at : at + CHUNK] for at in range(0, len(low) - CHUNK + 1, CHUNK)]
    yield _cost("24 to 16 kHz", rounds, seconds, lambda: [
        resampler(np.frombuffer(frame, "<i2")) for frame in frames
    ])  # fmt: skip
    yield _cost("speech or not", rounds, seconds, lambda: [detector(each) for each in chunks])
    ear = Ear({"type": "server_vad"}, model.detector())
    yield _cost("ear", rounds, seconds, lambda: [ear.feed(frame) for frame in frames])
    decoding = Decoding()
    turns = [turn(engine, text) for text in UNDERSTOOD[:8]]
    yield _cost("recogniser, of a turn", rounds, seconds, lambda: [
        decoding({"phrases": []}, each) for each in turns
    ])  # fmt: skip
    for voice in engines():
        say = partial(voice.say, ANSWER, voice.voices[0], 1.0)
        yield _cost(f"voice {voice.voices[0]}", rounds, len(say()) / RATE, say)


def _cost(part: str, rounds: int, seconds: float, work: Callable[[], object]) -> Cost:
    work()
    taken = []
    for _ in range(rounds):
        before = _processor()
        work()
        taken.append(1000 * (_processor() - before) / seconds)
    return Cost(part, statistics.median(taken), min(taken))


def _processor() -> float:
    """Processor time of this process and of programs that it has run."""
    import resource  # beside what it is for

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def delays(rounds: int) -> Iterator[Delay]:
    """How long a user waits for an answer, by steps."""
    engine = engines()[0]
    decoding, skills = Decoding(), Skills()
    said = turn(engine, "what time is it")
    situation = Situation(datetime(2026, 11, 27, 19, 5))  # noqa: DTZ001  # where the user is
    history = [{"role": "user", "content": [{"transcript": "what time is it"}]}]
    yield _delay("recognition of a turn of two seconds", rounds, lambda: decoding(
        {"phrases": []}, said
    ))  # fmt: skip
    yield _delay("answer", rounds, lambda: skills.answer(history, situation=situation))
    for voice in engines():
        name = f"first sound of {voice.voices[0]}"
        yield _delay(name, rounds, partial(_first_sound, voice))


def _first_sound(engine: Engine) -> None:
    async def wait() -> None:
        voice = Voice([engine])
        async with aclosing(voice.stream(ANSWER)) as stream:
            await anext(stream)
        await voice.close()

    asyncio.run(wait())


def _delay(what: str, rounds: int, work: Callable[[], object]) -> Delay:
    work()
    taken = []
    for _ in range(rounds):
        before = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - before))
    return Delay(what, statistics.median(taken), max(taken))


def memory(sessions: int = 200) -> Iterator[Memory]:
    """What models take once, and sessions each. Whatever is measured first pays for libraries."""
    before = _resident()
    model = load()
    model.detector()(np.zeros(CHUNK, np.int16))
    yield Memory("speech or not, once", _resident() - before)
    before = _resident()
    ears = [Ear({"type": "server_vad"}, model.detector()) for _ in range(sessions)]
    for ear in ears:
        ear.feed(bytes(4800))
    yield Memory("ear, each session", (_resident() - before) / sessions)
    before = _resident()
    found = engines()[0]
    found.say(ANSWER, found.voices[0], 1.0)
    yield Memory(f"voice {found.voices[0]}, once", _resident() - before)
    yield Memory("recogniser, each process", asyncio.run(_process()))


async def _process() -> float:
    sphinx = Sphinx(processes=1)
    await sphinx.open()
    resident = _resident(*sphinx.pids)
    await sphinx.close()
    return resident


def _resident(pid: int | str = "self") -> float:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    raise AssertionError


def understanding(sentences: int) -> Iterator[Understanding]:
    """How well the recogniser understands, by voice and noise."""
    decoding = Decoding()
    for engine in engines():
        for noise in NOISES:
            yield _understanding(decoding, engine, noise, sentences)


def _understanding(
    decoding: Decoding, engine: Engine, noise: float, sentences: int
) -> Understanding:
    wrong = words = silent = 0
    told = UNDERSTOOD[:sentences]
    for text in told:
        heard = decoding({"phrases": []}, turn(engine, text, noise)).split()
        words += len(text.split())
        wrong += distance(text.split(), heard)
        silent += not heard
    others = OTHERS[:sentences]
    false = sum(bool(decoding({"phrases": []}, turn(engine, text, noise))) for text in others)
    return Understanding(
        engine.voices[0], noise, wrong / words, silent / len(told), false / len(others)
    )


def distance(one: list[str], other: list[str]) -> int:
    """How many words are to be put in, left out or replaced to make one line of the other."""
    row = list(range(len(other) + 1))
    for at, word in enumerate(one, start=1):
        last, row[0] = row[0], at
        for to, heard in enumerate(other, start=1):
            best = min(row[to] + 1, row[to - 1] + 1, last + (word != heard))
            last, row[to] = row[to], best
    return row[-1]
