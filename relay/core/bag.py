"""A set that gives a random one of its members, in a time that does not depend on how many."""

from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Bag(Generic[_Item]):
    """A set of different objects, told apart by identity."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._places: dict[int, int] = {}  # by identity

    def __len__(self) -> int:
        """How many there are."""
        return len(self._items)

    def __contains__(self, item: _Item) -> bool:
        """Whether it is in here."""
        return id(item) in self._places

    def add(self, item: _Item) -> None:
        """Put one in; again is fine."""
        if id(item) not in self._places:
            self._places[id(item)] = len(self._items)
            self._items.append(item)

    def discard(self, item: _Item) -> None:
        """Take one out; one that is not in here is fine."""
        place = self._places.pop(id(item), None)
        if place is None:
            return
        last = self._items.pop()
        if last is not item:
            self._items[place] = last
            self._places[id(last)] = place

    def choose(self, randbelow: Callable[[int], int]) -> _Item:
        """Any of them, each as likely as the others; it stays in here. There must be one.

        Args:
            randbelow: Gives a random number from 0 up to, but not including, another.
        """
        return self._items[randbelow(len(self._items))]
