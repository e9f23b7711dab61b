import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.route import Target
from signaling.callid import is_session_id, join_call_id, split_call_id

targets = st.builds(Target, st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFF), st.integers(0, 0xFF))
sessions = st.from_regex(r"rtc_[A-Za-z0-9_-]{1,40}", fullmatch=True)


@given(targets, sessions)
def test_an_id_leads_back_to_its_session(target: Target, session: str) -> None:
    assert is_session_id(session)
    assert split_call_id(join_call_id(target, session)) == (target, session)


def test_an_id_begins_as_clients_know_it() -> None:
    assert join_call_id(Target(1, 5, 0), "rtc_Kc9") == "rtc_1-5-0-Kc9"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rtc_",
        "rtc_abc",
        "rtc_1-5-0-",
        "rtc_1-5-Kc9",
        "rtc_1-5-0-Kc9/..",
        "rtc_1-5-0-Kc9\n",
        "rtc_1-5-0-" + "x" * 129,
        "rtc_\N{ARABIC-INDIC DIGIT ONE}-5-0-Kc9",
        "rtc_999999-5-0-Kc9",
        "call_1-5-0-Kc9",
    ],
)
def test_other_texts_lead_nowhere(text: str) -> None:
    assert split_call_id(text) is None


@pytest.mark.parametrize("text", ["abc", "rtc_", "rtc_a/b", "rtc_ä", "rtc_a\n", "rtc_" + "x" * 129])
def test_only_session_ids_are_session_ids(text: str) -> None:
    assert not is_session_id(text)
