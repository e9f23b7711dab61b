"""What the page makes of events of a back end: those of the reference, and those of others."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.page.conftest import Host, Page

Converse = Callable[..., list[list[str]]]

SCRIPT = """
    const done = arguments[arguments.length - 1];
    import("/page/conversation.js").then(({ Conversation }) => {
      const conversation = new Conversation();
      for (const event of %s) conversation.take(event);
      done(conversation.lines.map(({ who, text, state }) => [who, text, state]));
    });
"""
FULL = "conversation.item.input_audio_transcription"


@pytest.fixture(scope="module")
def serving(host: Callable[..., Any]) -> Iterator[Host]:
    with host() as running:
        yield running


@pytest.fixture
def converse(page: Page, serving: Host) -> Converse:
    page.open(serving.url)

    def take(*events: dict[str, Any]) -> list[list[str]]:
        lines: list[list[str]] = page.browser.run_async(SCRIPT % json.dumps(events))
        return lines

    return take


def item(item_id: str, role: str, **content: Any) -> dict[str, Any]:
    return {"id": item_id, "type": "message", "role": role, **content}


def event(kind: str, **content: Any) -> dict[str, Any]:
    return {"type": kind, **content}


def test_a_spoken_turn_whose_words_come_late(converse: Converse) -> None:
    spoken = item("u", "user", content=[{"type": "input_audio", "transcript": None}])
    answer = item("a", "assistant", content=[])
    words = {"item_id": "a", "response_id": "r"}
    events = [
        event("input_audio_buffer.speech_started", item_id="u"),
        event("input_audio_buffer.committed", item_id="u"),
        event("conversation.item.added", item=spoken),
        event("conversation.item.done", item=spoken),
        event("response.created", response={"id": "r"}),
        event("conversation.item.added", item=answer, previous_item_id="u"),
        event("response.output_audio_transcript.delta", delta="It is ", **words),
        event(f"{FULL}.delta", item_id="u", delta="What time"),
        event("response.output_audio_transcript.delta", delta="ten.", **words),
    ]
    assert converse(*events) == [["user", "What time", "live"], ["assistant", "It is ten.", "live"]]
    events += [
        event("response.output_audio_transcript.done", transcript="It is ten.", **words),
        event(f"{FULL}.completed", item_id="u", transcript="What time is it?"),
    ]
    assert converse(*events) == [
        ["user", "What time is it?", "done"],
        ["assistant", "It is ten.", "done"],
    ]


@pytest.mark.parametrize(
    "kind",
    [
        *("response.output_text", "response.output_audio_transcript"),
        *("response.text", "response.audio_transcript"),  # before the API was general
    ],
)
def test_an_answer_without_items(converse: Converse, kind: str) -> None:
    assert converse(event(f"{kind}.delta", item_id="a", delta="Hel"))[0][1:] == ["Hel", "live"]
    whole = {"text": "Hello"} if "text" in kind else {"transcript": "Hello"}
    assert converse(event(f"{kind}.done", item_id="a", **whole)) == [["assistant", "Hello", "done"]]


BARGED_IN = [
    event("output_audio_buffer.cleared", response_id="r"),
    event(
        "response.done",
        response={"status": "cancelled", "output": [item("a", "assistant", status="incomplete")]},
    ),
    event("conversation.item.truncated", item_id="a", audio_end_ms=500),
]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_barge_in_in_any_order(converse: Converse, order: tuple[int, ...]) -> None:
    said = event("response.output_audio_transcript.delta", item_id="a", delta="It is ten o")
    late = event("response.output_audio_transcript.delta", item_id="a", delta="'clock")
    lines = converse(said, *(BARGED_IN[each] for each in order), late)
    assert lines == [["assistant", "It is ten o", "cut"]]


def test_a_function_is_called_and_returns(converse: Converse) -> None:
    call = {"id": "f", "type": "function_call", "name": "clock", "arguments": '{"zone": "UTC"}'}
    result = {"id": "o", "type": "function_call_output", "call_id": "c", "output": "10:00"}
    assert converse(
        event("response.output_item.added", item=call | {"arguments": ""}),
        event("response.output_item.done", item=call),
        event("conversation.item.added", item=result, previous_item_id="f"),
    ) == [["tool", 'clock({"zone": "UTC"})', "done"], ["tool", "→ 10:00", "done"]]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"message": "No such voice", "code": "invalid_value"}, "No such voice"),
        ("a string", "a string"),
        (None, "an error"),
        ({"code": "response_cancel_not_active", "message": "Cancellation failed"}, None),
    ],
)
def test_an_error_is_a_note_unless_it_is_benign(
    converse: Converse, error: Any, said: str | None
) -> None:
    wanted = [["note", f"The back end reports: {said}", "done"]] if said else []
    assert converse(event("error", error=error)) == wanted


def test_a_failed_answer_says_why(converse: Converse) -> None:
    details = {"type": "failed", "error": {"message": "quota exceeded"}}
    failed = {"status": "failed", "status_details": details, "output": []}
    (line,) = converse(event("response.done", response=failed))
    assert line == ["note", "The answer failed: quota exceeded", "done"]


def test_an_item_stands_after_the_one_it_follows_until_it_is_deleted(converse: Converse) -> None:
    def written(item_id: str, after: str | None) -> dict[str, Any]:
        content = [{"type": "input_text", "text": item_id}]
        return event(
            "conversation.item.added",
            item=item(item_id, "user", content=content),
            previous_item_id=after,
        )

    items = written("1", None), written("3", "1"), written("2", "1")
    assert [text for _, text, _ in converse(*items)] == ["1", "2", "3"]
    deleted = event("conversation.item.deleted", item_id="2")
    assert [text for _, text, _ in converse(*items, deleted)] == ["1", "3"]


@pytest.mark.parametrize(
    "odd",
    [
        event("conversation.item.added"),
        event("conversation.item.added", item={"id": "x", "type": "message", "role": "system"}),
        event("conversation.item.truncated", item_id="unknown"),
        event("response.output_text.delta", item_id="a"),
        event("response.done"),
        event("something.new", item={"id": "x"}),
        event("toString"),
    ],
)
def test_what_it_does_not_know_it_leaves(converse: Converse, odd: dict[str, Any]) -> None:
    assert converse(odd) == []


def test_it_is_bounded(converse: Converse) -> None:
    deltas = [
        event("response.output_text.delta", item_id=f"a{number}", delta="x" * 30_000)
        for number in range(510)
    ]
    lines = converse(*deltas[:1], *(each | {"delta": "x"} for each in deltas[1:]))
    assert len(lines) == 500
    (long,) = converse(deltas[0])
    assert len(long[1]) == 20_000


def test_a_session_that_begins_anew_is_told_what_was_said(page: Page, serving: Host) -> None:
    page.open(serving.url)
    said = """
        const done = arguments[arguments.length - 1];
        import("/page/conversation.js").then(({ Conversation }) => {
          const conversation = new Conversation();
          for (let each = 0; each < 50; each++) conversation.wrote(`old${each}`, `words ${each} `);
          conversation.note("Not said");
          conversation.take({ type: "response.output_text.delta", item_id: "a", delta: "Half" });
          conversation.take({ type: "input_audio_buffer.speech_started", item_id: "unheard" });
          conversation.over();
          let number = 0;
          const items = conversation.begunAnew(() => `new${number++}`);
          conversation.take({ type: "conversation.item.added", item: items[0] });
          const old = conversation.lines.filter((each) => each.id?.startsWith("old"));
          done([items, conversation.lines.length, old.length]);
        });
    """
    items, lines, old = page.browser.run_async(said)
    assert len(items) == 40, "the last of them"
    assert items[0]["content"] == [{"type": "input_text", "text": "words 11"}]
    assert (items[-1]["role"], items[-1]["content"]) == (
        "assistant",
        [{"type": "output_text", "text": "Half"}],
    )
    assert (lines, old) == (53, 0), "what comes back is no line more"


@pytest.mark.parametrize(
    ("address", "protocol", "says"),
    [
        ("203.0.113.10", "udp", "In the kernel (XDP)"),
        ("203.0.113.10", "tcp", "In a process (userspace)"),
        ("2001:db8::1", "udp", "In a process (userspace)"),
        ("198.51.100.1", "udp", "\N{EN DASH}"),
        ("192.0.2.1", "udp", "\N{EN DASH}"),
    ],
)
def test_what_forwards_is_said_in_words(
    page: Page, serving: Host, address: str, protocol: str, says: str
) -> None:
    page.open(serving.url)
    told = """
        const [remote, done] = [%s, arguments[0]];
        const relays = [
          { udp: ["203.0.113.10:3478"], tcp: ["203.0.113.10:3478"], dataplane: "xdp" },
          { udp: ["[2001:db8::1]:3478"], tcp: [], dataplane: "userspace" },
          { udp: ["198.51.100.1:3478"], tcp: [], dataplane: null },
        ];
        import("/page/facts.js").then(({ forwarder }) => done(forwarder(remote, relays)));
    """
    remote = {"address": address, "port": 3478, "protocol": protocol}
    assert page.browser.run_async(told % json.dumps(remote)) == says
