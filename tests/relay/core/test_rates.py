"""How much may come to the agent."""

from dataclasses import fields

from relay.core.rates import Rates


def test_an_operators_rates_are_the_defaults_where_they_say_the_same() -> None:
    usual = Rates()
    said = usual.stun_routed.rate, usual.prefix.rate, 2 * usual.ufrag.rate
    assert Rates.of(*map(int, said), recovers=False) == usual


def test_each_of_them_changes_what_it_is_about() -> None:
    def changed(rates: Rates) -> set[str]:
        usual = Rates.of(20_000, 500, 50)
        names = [each.name for each in fields(Rates)]
        return {name for name in names if getattr(rates, name) != getattr(usual, name)}

    assert changed(Rates.of(10_000, 500, 50)) == {
        "stun_routed",
        "stun_repeated",
        "stun_answer",
        "stun_remote",
    }
    assert changed(Rates.of(20_000, 50, 50)) == {"prefix", "network"}
    assert changed(Rates.of(20_000, 500, 5)) == {"ufrag"}
    assert changed(Rates.of(20_000, 500, 50, recovers=False)) == {"unknown_client"}


def test_the_least_rates_let_something_pass() -> None:
    rates = Rates.of(1, 1, 1)
    assert min(getattr(rates, each.name).burst for each in fields(Rates)) == 1
