"""What a call's connections say of the session that they are of."""

from transceiver.bridge.continuing import Continuing


def test_a_call_without_names_says_nothing() -> None:
    assert Continuing().headers() == {}


def test_each_connection_goes_on_with_the_one_before() -> None:
    continuing = Continuing(resume="old", keep="own")
    first = {"Icelane-Resume": "old", "Icelane-Keep": "own"}
    assert continuing.headers() == first
    assert continuing.headers() == first, "as long as none was made"
    continuing.connected()
    assert continuing.headers() == {"Icelane-Resume": "own", "Icelane-Keep": "own"}
