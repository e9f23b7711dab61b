"""The items of a session."""

import pytest

from transceiver.realtime.conversation import MAX_ITEMS, MAX_SIZE, Conversation
from transceiver.realtime.items import Item, Part


def conversation(*names: str) -> Conversation:
    made = Conversation()
    for name in names:
        made.add(Item(name, role="user"))
    return made


def names(of: Conversation) -> list[str]:
    return [each.id for each in of]


def test_items_have_an_order() -> None:
    items = conversation("a", "b")
    assert items.add(Item("c"), "a") == "a"
    assert items.add(Item("d"), "root") is None
    assert items.add(Item("e"), "b") == "b"
    assert names(items) == ["d", "a", "c", "b", "e"]
    assert (items.last_id, items.before("c"), items.before("d")) == ("e", "a", None)
    assert items.delete("c")
    assert not items.delete("c")
    with pytest.raises(KeyError):
        items.before("c")


def test_the_oldest_make_room() -> None:
    items = conversation(*(str(number) for number in range(MAX_ITEMS + 5)))
    assert len(items) == MAX_ITEMS
    assert names(items)[0] == "5"
    items.add(Item("big", role="user", content=[Part("input_audio", sound=bytes(MAX_SIZE + 1))]))
    assert names(items) == ["big"], "the last one stays, however big"
    items.add(Item("small"))
    assert names(items) == ["small"]
