"""Something that is needed and does not work for a while: told once, and once that it is over."""

import logging


class Outage:
    """What is known of whether something works.

    Args:
        log: Where it is told.
        begun: What is told as it begins, before the reason. A reason's kind is what stands in it
            before a colon; of another kind it is told, too, such as that the password is wrong
            once the server has been started again.
        over: What is told once it is over.

    Attributes:
        reason: Why it does not work now, in words; None while it does.
    """

    def __init__(self, log: logging.Logger, begun: str, over: str) -> None:
        self.reason: str | None = None
        self._log = log
        self._begun = begun
        self._over = over
        self._told: set[str] = set()  # kinds of reasons, since it began

    def begins(self, reason: str) -> None:
        """It does not work, or still does not."""
        kind = reason.partition(":")[0]
        if kind not in self._told:
            self._told.add(kind)
            self._log.warning("%s: %s", self._begun, reason)
        self.reason = reason

    def ends(self) -> None:
        """It works."""
        if self.reason is not None:
            self._log.info("%s", self._over)
        self.reason = None
        self._told.clear()
