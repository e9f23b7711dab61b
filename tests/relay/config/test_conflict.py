from relay.config.conflict import Conflict, ConflictError

PORTS = Conflict(
    "the VIP lies among the upstream ports",
    ("choose another port in {vip}", "move {ports}", "ask {max_flows} and {ports}"),
)


def test_all_remedies_are_told_where_all_settings_are() -> None:
    assert PORTS.sentence() == (
        "the VIP lies among the upstream ports: choose another port in --vip, or move --ports, "
        "or ask --max-flows and --ports"
    )


def test_a_command_is_told_only_of_settings_that_it_has() -> None:
    assert PORTS.sentence({"vip"}) == (
        "the VIP lies among the upstream ports: choose another port in --vip"
    )
    assert PORTS.sentence(set()) == "the VIP lies among the upstream ports"


def test_all_conflicts_are_told_at_once() -> None:
    error = ConflictError(PORTS, Conflict("there is no interface")).among({"ports"})
    assert error.problems == (
        "the VIP lies among the upstream ports: move --ports",
        "there is no interface",
    )
    assert str(error).startswith("2 settings are wrong:\n  the VIP")
