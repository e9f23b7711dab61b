"""The offline agent within another service: it runs, or says why it cannot."""

import sys
from collections.abc import Iterator

import pytest

from relay.cli.agentservice import AGENT, beginning_with_agent
from transceiver.agent.settings import AgentSettings
from transceiver.agent.speech import activity
from transceiver.agent.speech.errors import MissingPartError
from transceiver.bridge.table import ECHO, Table


@pytest.fixture
def without_speech(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host where the agent's packages are not installed."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    activity.load.cache_clear()
    yield
    activity.load.cache_clear()


async def test_the_table_begins_with_an_agent_that_serves() -> None:
    async with beginning_with_agent(Table(), AgentSettings(), required=False) as table:
        agent, echo = table.services
        assert (agent.name, echo.name) == (AGENT, ECHO)
        assert agent.url is not None
        assert agent.url.startswith("ws://127.0.0.1:")
        assert table.choose(None, None) is agent
        assert table.choose("gpt-realtime", None) is agent
        assert table.choose(ECHO, None) is echo


@pytest.mark.usefixtures("without_speech")
async def test_where_it_cannot_run_an_echo_answers_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with beginning_with_agent(Table(), AgentSettings(), required=False) as table:
        assert [each.name for each in table.services] == [ECHO]
    (line,) = [record.getMessage() for record in caplog.records if "echo answers" in record.msg]
    assert "pip install 'icelane[agent]'" in line


@pytest.mark.usefixtures("without_speech")
async def test_where_it_is_asked_for_it_must_run() -> None:
    with pytest.raises(MissingPartError, match="icelane"):
        async with beginning_with_agent(Table(), AgentSettings(), required=True):
            pytest.fail("it does not run")
