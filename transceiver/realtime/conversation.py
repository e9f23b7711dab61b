"""The items of a session in their order, as many as memory may hold."""

from collections.abc import Iterator

from transceiver.realtime.errors import EventError
from transceiver.realtime.items import Item, sounded_ms
from transceiver.realtime.sound import BYTES_PER_MS

MAX_ITEMS = 1000
MAX_SIZE = 16 << 20  # bytes of sound, text and images
ROOT = "root"  # what a client calls the place before the first item


class Conversation:
    """The items. The oldest make room when there are too many, as a model's context does it."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def get(self, item_id: str) -> Item | None:
        """An item, or None."""
        return self._items.get(item_id)

    @property
    def last_id(self) -> str | None:
        """The last item's id; None where there is none."""
        return next(reversed(self._items), None)

    def before(self, item_id: str) -> str | None:
        """The id of the item before one that is there; None for the first."""
        found = None
        for each in self._items:
            if each == item_id:
                return found
            found = each
        raise KeyError(item_id)

    def check_place(self, item: Item, after: str | None) -> None:
        """See that an item can be put there.

        Raises:
            EventError: There is an item of that id, or none to put it behind.
        """
        if item.id in self._items:
            raise EventError(
                "item_create_duplicate_item_id",
                f"Error adding item: an item with the id '{item.id}' exists already.",
                "item.id",
            )
        if after is not None and after != ROOT and after not in self._items:
            raise EventError(
                "invalid_value",
                f"Error adding item: the previous item with id '{after}' does not exist.",
                "previous_item_id",
            )

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Put an item behind another one, or at the end.

        Args:
            item: The item, whose id is new.
            after: The id of the other one; `ROOT` for the front, None for the end.

        Returns:
            The id of the item before it; None at the front.
        """
        before = self.last_id if after is None else after
        if after is None or after == self.last_id:
            self._items[item.id] = item
        else:
            order = list(self._items.values())
            at = 0 if after == ROOT else 1 + list(self._items).index(after)
            order.insert(at, item)
            self._items = {each.id: each for each in order}
        self._make_room()
        return None if before == ROOT else before

    @property
    def size(self) -> int:
        """Bytes of sound, text and images in them."""
        return sum(each.size for each in self)

    def _make_room(self) -> None:
        size = self.size
        while len(self._items) > MAX_ITEMS or (size > MAX_SIZE and len(self._items) > 1):
            size -= self._items.pop(next(iter(self._items))).size

    def delete(self, item_id: str) -> bool:
        """Take an item out; whether it was there."""
        return self._items.pop(item_id, None) is not None

    def truncate(self, item_id: str, content_index: int, end_ms: int) -> None:
        """Cut an answer off where the client has stopped to hear it.

        Its transcript goes, too: what nobody heard must not stay.

        Raises:
            EventError: There is no such answer, or it is shorter.
        """
        item = self._items.get(item_id)
        if item is None:
            raise EventError(
                "item_truncate_invalid_item_id",
                f"Error truncating item: there is no item with id '{item_id}'.",
                "item_id",
            )
        parts = item.content if item.role == "assistant" else []
        part = parts[content_index] if content_index < len(parts) else None
        if part is None or part.kind != "output_audio":
            raise EventError(
                "unsupported_content_type",
                "Error truncating item: only an assistant's message with audio can be cut.",
                "content_index",
            )
        if end_ms > sounded_ms(part):
            raise EventError(
                "invalid_value",
                f"Error truncating item: its audio of {sounded_ms(part)} ms is already shorter "
                f"than {end_ms} ms.",
                "audio_end_ms",
            )
        part.sounded = min(part.sounded, end_ms * BYTES_PER_MS)
        part.text, part.is_cut = None, True
