"""When a book asks for its next set: by its schedule, or because the vault has changed."""

from __future__ import annotations

from datetime import datetime, tzinfo

from backup import schedule
from backup.book import Book
from backup.schedule import Pending, Schedule
from vault import moment


class Calendar:
    """The due times of a book's schedule in a zone; each is looked up only once."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._found: tuple[Schedule | None, datetime | None, datetime | None] = (None, None, None)

    def is_due(self, book: Book, now: datetime) -> bool:
        """Tell whether the schedule may ask for something now; ``schedule.due`` says what."""
        if not book.schedule.cron:
            return False
        served, due = served_at(book), self.next_due(book)
        return served is None or (due is not None and due <= now) or served - now > schedule.SKEW

    def next_due(self, book: Book) -> datetime | None:
        """Return the first due time after what was served last, None if nothing was."""
        served = served_at(book)
        if served is None:
            return None
        if self._found[:2] != (book.schedule, served):
            self._found = (book.schedule, served, schedule.next_due(book.schedule, served, self._zone))
        return self._found[2]


def served_at(book: Book) -> datetime | None:
    """Return up to when the schedule was served."""
    return moment.to_datetime(book.served_at) if book.served_at else None


def change_due(book: Book, pending: Pending, vault_bytes: int, now: datetime) -> datetime | None:
    """Return when a set is due for what has changed, None if nothing has or changes make none."""
    if not book.schedule.on_change:
        return None
    newest = book.made(book.newest)
    made_at = moment.to_datetime(newest.made_at) if newest is not None else None
    return schedule.change_due(pending, made_at, vault_bytes, now)
