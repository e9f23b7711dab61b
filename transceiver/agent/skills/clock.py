"""Time of day, date and timer, in sentences made to be heard."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil

from transceiver.agent.skills.reply import CancelTimer, Reply, SetTimer, Situation
from transceiver.agent.skills.words import number_at

MAX_TIMER = 24 * 3600  # seconds
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_MONTHS = "January February March April May June July August September October November December"


def time_of_day(now: datetime) -> str:
    """Such as "It is 7:05 PM."; hours without minutes as "It is 7 PM."."""
    hour, half = (now.hour - 1) % 12 + 1, "PM" if now.hour >= 12 else "AM"
    minutes = f":{now.minute:02d}" if now.minute else ""
    return f"It is {hour}{minutes} {half}."


def date(day: datetime, lead: str = "Today is") -> str:
    """Such as "Today is Friday, November 27, 2026."."""
    weekday, month = _DAYS.split()[day.weekday()], _MONTHS.split()[day.month - 1]
    return f"{lead} {weekday}, {month} {day.day}, {day.year}."


def tomorrow(now: datetime) -> str:
    """The next day's date."""
    return date(now + timedelta(days=1), "Tomorrow is")


def duration(seconds: int) -> str:
    """Such as "1 hour and 20 minutes"."""
    parts = []
    for unit, size in (("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def seconds_in(line: Sequence[str]) -> int | None:
    """The durations in a request together: "one hour and twenty minutes"; None without any."""
    total, found, at = 0.0, False, 0
    while at < len(line):
        if line[at] in {"a", "an"} and _unit(line, at + 1):
            total, found, at = total + _unit(line, at + 1), True, at + 2
        elif tuple(line[at : at + 3]) in {("half", "an", "hour"), ("half", "a", "minute")}:
            total, found, at = total + _unit(line, at + 2) / 2, True, at + 3
        elif (number := number_at(line, at)) is not None:
            value, at = number
            if _unit(line, at):
                total, found, at = total + float(value) * _unit(line, at), True, at + 1
        else:
            at += 1
    return round(total) if found else None


def _unit(line: Sequence[str], at: int) -> int:
    return _SECONDS.get(line[at].removesuffix("s"), 0) if at < len(line) else 0


def timer(line: Sequence[str], situation: Situation) -> Reply:
    """Set a timer, stop it, or say what is left of it, as a request with that word wants."""
    if {"cancel", "stop", "clear", "delete", "end"} & set(line):
        if situation.timer_ends is None:
            return Reply("There is no timer.")
        return Reply("I have stopped the timer.", intent=CancelTimer())
    seconds = seconds_in(line)
    if seconds is None:
        if situation.timer_ends is not None:
            return Reply(left(situation))
        return Reply("For how long? Say, for example: set a timer for five minutes.")
    if not 0 < seconds <= MAX_TIMER:
        return Reply("A timer can run from one second to 24 hours.")
    return Reply(f"Your timer is set for {duration(seconds)}.", intent=SetTimer(seconds))


def left(situation: Situation) -> str:
    """How long the timer still runs."""
    if situation.timer_ends is None:
        return "There is no timer."
    rest = ceil((situation.timer_ends - situation.now).total_seconds())
    if rest <= 0:
        return "The timer has just ended."
    return f"{duration(rest)} left."
