"""How calls sound, added up."""

from transceiver.quality import LOOKS, Quality


def test_counts_of_calls_add_up_and_stay_when_they_have_ended() -> None:
    quality = Quality()
    for received in (10, 5):
        call = quality.of_call()
        call.count({"received": received - 3, "lost": 1})
        call.count({"received": received, "lost": 1, "lost_by_client": None})
    assert quality.counts["received"] == 15
    assert quality.counts["lost"] == 2
    assert quality.counts["lost_by_client"] == 0


def test_a_loss_that_turns_out_to_be_none_is_not_taken_back() -> None:
    """A counter never falls; nor is the same one counted again."""
    quality = Quality()
    call = quality.of_call()
    for lost in (3, 1, 3, 4):
        call.count({"lost": lost})
    assert quality.counts["lost"] == 4


def test_what_is_not_known_yet_is_not_observed() -> None:
    quality = Quality()
    call = quality.of_call()
    call.observe({"round_trip": None, "jitter": 0.004, "playout_delay": 0.05})
    call.observe({"round_trip": 0.03, "jitter": 0.004, "jitter_at_client": 0.2})
    counts = [
        each.count
        for each in (
            quality.round_trip,
            quality.jitter,
            quality.jitter_at_client,
            quality.playout_delay,
        )
    ]
    assert counts == [1, 2, 1, 1]


def test_a_call_is_observed_at_one_of_several_looks() -> None:
    call = Quality().of_call()
    assert [call.is_due for _ in range(2 * LOOKS)] == 2 * [*[False] * (LOOKS - 1), True]
