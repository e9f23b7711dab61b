"""A relay's settings, of which nothing has to be given."""

from pathlib import Path
from typing import Any

import pytest

from relay.cli.tree import TREE
from relay.doctor.settings import DoctorSettings
from relay.errors import ConfigError

ALL = {"vip": ["203.0.113.10:3478"], "upstream": ["192.0.2.1"], "keys": "k", "registry": "r"}


def settings(**options: Any) -> DoctorSettings:
    return DoctorSettings.load(options, tree=TREE)


def test_without_any_it_is_about_a_host_whose_kernel_may_forward() -> None:
    nothing = settings()
    assert (nothing.given, nothing.may_use_kernel, nothing.files) == (False, True, ())


def test_what_a_relay_would_lack_is_named() -> None:
    assert settings(**ALL).missing == []
    assert settings(vip=["203.0.113.10:3478"], redis="redis://192.0.2.9").missing == [
        "--upstream",
        "--keys",
    ]
    assert settings(keys="k").missing == ["--vip", "--upstream", "--registry or --redis"]


@pytest.mark.parametrize(
    ("options", "may"),
    [
        ({}, False),  # a relay without an interface
        ({"interface": ["eth0"]}, True),
        ({"dataplane": "xdp"}, True),
        ({"interface": ["eth0"], "dataplane": "userspace"}, False),
    ],
)
def test_whether_the_kernel_may_forward(options: dict[str, Any], *, may: bool) -> None:
    assert settings(**ALL, **options).may_use_kernel is may


def test_a_file_has_them_in_the_section_of_the_relay(tmp_path: Path) -> None:
    file = tmp_path / "icelane.toml"
    file.write_text('keys = "k.toml"\n[relay]\nvip = "203.0.113.10:3478"\n[up]\nworkers = 2\n')
    found = DoctorSettings.load({}, tree=TREE, file=file)
    assert str(found.vip[0]) == "203.0.113.10:3478"
    assert found.files == (tmp_path / "k.toml",)
    file.write_text("[relay]\nvipp = 1\n")
    with pytest.raises(ConfigError, match="did you mean vip"):
        DoctorSettings.load({}, tree=TREE, file=file)
