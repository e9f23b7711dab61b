"""Dialogues with an engine."""

import pytest

from tests.transceiver.realtime.dialogue import Dialogue

MANUAL = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}


@pytest.fixture
def talk() -> Dialogue:
    return Dialogue()


@pytest.fixture
def manual() -> Dialogue:
    dialogue = Dialogue()
    dialogue.tell("session.update", session=MANUAL)
    return dialogue
