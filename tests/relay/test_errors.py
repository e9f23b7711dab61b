"""One tree of errors for all packages, and what its root promises."""

import importlib
import inspect
import pickle
import pkgutil
from types import ModuleType

import pytest

import relay
import signaling
import transceiver
from relay import errors
from relay.caller.errors import CallError, Failure
from relay.config.conflict import ConflictError
from relay.config.registry import RegistryError
from relay.errors import ConfigError, IcelaneError
from relay.wire.errors import KeyFileError
from tests.relay.errortree import drawn

PARENTS = drawn(errors.__doc__)
BRANCHES = {name for name, parent in PARENTS.items() if parent == "IcelaneError"}


def modules(package: ModuleType) -> list[ModuleType]:
    return [
        importlib.import_module(each.name)
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]


EXCEPTIONS = {
    each
    for package in (relay, transceiver, signaling)
    for module in modules(package)
    for _, each in inspect.getmembers(module, inspect.isclass)
    if issubclass(each, BaseException) and each.__module__ == module.__name__
}
LEAVES = sorted(EXCEPTIONS - {IcelaneError}, key=lambda each: each.__name__)
NAMED = {each.__name__: each for each in EXCEPTIONS}


@pytest.mark.parametrize("kind", LEAVES)
def test_every_exception_is_below_one_branch(kind: type[Exception]) -> None:
    assert len([each for each in inspect.getmro(kind) if each.__name__ in BRANCHES]) == 1
    assert issubclass(kind, IcelaneError)


def test_two_errors_never_share_a_name() -> None:
    assert len(NAMED) == len(EXCEPTIONS)


@pytest.mark.parametrize(
    "name",
    ["relay.errors", "relay.wire.errors", "transceiver.errors", "signaling.errors"],
)
def test_a_drawing_shows_the_classes_that_there_are(name: str) -> None:
    module = importlib.import_module(name)
    parents = drawn(module.__doc__)
    for child, parent in parents.items():
        if parent is not None:
            assert NAMED[child].__bases__[0] is NAMED[parent]
    assert parents.keys() >= {each.__name__ for each in EXCEPTIONS if each.__module__ == name}


class TestConfigError:
    def test_one_problem_is_its_sentence(self) -> None:
        error = ConfigError("--vip is missing: a public address")
        assert str(error) == "--vip is missing: a public address"
        assert error.problems == ("--vip is missing: a public address",)

    def test_several_are_a_list_with_their_number(self) -> None:
        error = ConfigError("--vip is missing", "--keys is missing")
        assert str(error) == "2 settings are wrong:\n  --vip is missing\n  --keys is missing"

    def test_who_reads_values_may_take_it_for_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="wrong"):
            raise ConfigError("wrong")

    def test_it_comes_whole_out_of_another_process(self) -> None:
        error = pickle.loads(pickle.dumps(ConfigError("one", "two")))  # noqa: S301  # our own
        assert error.problems == ("one", "two")


@pytest.mark.parametrize("kind", [ConfigError, ConflictError, RegistryError, KeyFileError])
def test_wrong_settings_and_files_end_like_wrong_usage(kind: type[ConfigError]) -> None:
    assert kind.exit_code == 2


@pytest.mark.parametrize(
    "name", sorted(BRANCHES - {"ConfigError", "CallError"}), ids=lambda name: name
)
def test_what_cannot_be_done_ends_with_1(name: str) -> None:
    assert NAMED[name].exit_code == 1  # type: ignore[attr-defined]  # held above


def test_a_failed_call_ends_with_what_failed() -> None:
    assert CallError(Failure.DTLS_FAILED, "no handshake").exit_code == 7
