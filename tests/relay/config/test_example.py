"""The example of a settings file: every setting is in it, and every line of it can be used."""

import re
import tomllib

import pytest

from relay.cli.tree import TREE
from relay.config.conflict import written
from relay.config.example import example, example_value

SETTINGS = [(section, name) for section, model in TREE.items() for name in model.model_fields]


def test_every_setting_is_explained_in_it() -> None:
    text = example(TREE)
    without_marks = re.sub(r"^#(?=[a-z-]+ = )", "", text, flags=re.MULTILINE)
    document = tomllib.loads(without_marks)
    assert {(section, name) for section in document for name in document[section]} == {
        (section, written(name)) for section, name in SETTINGS
    }
    flat = " ".join(text.replace("\n# ", " ").split())
    for section, name in SETTINGS:
        description = TREE[section].model_fields[name].description or ""
        assert f"{' '.join(description.split())[1:]}." in flat


def test_it_has_the_sections_that_are_wanted_only() -> None:
    assert list(tomllib.loads(example({"agent": TREE["agent"]}))) == ["agent"]


def test_lines_fit_a_screen() -> None:
    assert max(map(len, example(TREE).splitlines())) <= 100


@pytest.mark.parametrize(("section", "name"), SETTINGS, ids=".".join)
def test_every_value_in_it_can_be_used(section: str, name: str) -> None:
    model = TREE[section]
    value = example_value(name, model.model_fields[name])
    found = model.find({name: value}, tree=TREE)
    assert [each for each in found.wrong_values() if "is missing" not in each] == []
