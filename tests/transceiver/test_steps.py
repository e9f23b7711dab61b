"""How long the steps of set-ups take."""

from transceiver.steps import STEPS, Steps


def test_only_the_first_time_of_a_step_counts() -> None:
    steps = Steps()
    call = steps.of_call(100.0)
    call.take("answer", 100.01)
    call.take("dtls", 100.2)
    call.take("dtls", 105.0)
    assert call.as_dict() == {"answer": 0.01, "dtls": 0.2}
    assert "dtls" in call
    assert "first_audio" not in call
    counted = steps.as_dict()
    assert [counted[step]["count"] for step in STEPS] == [1, 0, 1, 0, 0]


def test_calls_are_counted_together() -> None:
    steps = Steps()
    for began in (1.0, 2.0):
        steps.of_call(began).take("first_check", began + 0.03)
    assert steps.as_dict()["first_check"]["count"] == 2
    assert steps.as_dict()["first_check"]["at_most"]["0.05"] == 2
