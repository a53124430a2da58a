"""What is wrong with the backups of a vault: what makes ``agent status`` end with exit code 5.

- Two times of the schedule went by without a backup, be it one that found nothing new.
- No restore was proven for 14 days, though there is a set.
- An alarm is open.
- A target was not here for 14 days; or it is here, and the newest set could not be brought there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta, tzinfo

from backup import schedule
from backup.book import Book, Target
from vault import moment
from vault.moment import Instant

PROOF_LASTS = timedelta(days=14)
LONGEST_AWAY = timedelta(days=14)


def wrong(book: Book, here: Collection[str], vault_made: Instant, now: datetime, zone: tzinfo) -> tuple[str, ...]:
    """Return what is wrong, in sentences without a full stop.

    ``here`` names the targets that were found just now, ``vault_made`` is when everything began.
    """
    return (
        *_overdue(book, vault_made, now, zone),
        *_unproven(book, now),
        *(one.text for one in book.alarms if not one.ended),
        *(text for target in book.targets for text in _of_target(book, target, target.id in here, vault_made, now)),
    )


def _overdue(book: Book, vault_made: Instant, now: datetime, zone: tzinfo) -> Iterator[str]:
    newest = book.made(book.newest)
    known = (book.served_at, newest.made_at if newest is not None else "", vault_made)
    last = max((moment.to_datetime(one) for one in known if one), default=now)
    first = schedule.next_due(book.schedule, last, zone)
    second = schedule.next_due(book.schedule, first, zone) if first is not None else None
    if second is not None and second <= now:
        since = f"since {_day(last, zone)}" if book.newest else "yet"
        yield f"no backup was made {since}, though they are made {schedule.described(book.schedule)}"


def _unproven(book: Book, now: datetime) -> Iterator[str]:
    begun = min((made.made_at for made in book.sets), default="")
    last = book.proven.at if book.proven is not None else begun
    if last and now - moment.to_datetime(last) > PROOF_LASTS:
        days = (now - moment.to_datetime(last)).days
        yield f"no restore was proven for {days} days"


def _of_target(book: Book, target: Target, is_here: bool, vault_made: Instant, now: datetime) -> Iterator[str]:
    if is_here:
        if target.trouble and all(copy.set != book.newest or copy.trouble for copy in target.copies):
            yield f"the newest set is not at {target.path}: {target.trouble}"
        return
    seen = max((target.seen_at, *(copy.verified_at for copy in target.copies))) or vault_made
    if seen and now - moment.to_datetime(seen) > LONGEST_AWAY:
        yield f"the backup target {target.path} was not here for {(now - moment.to_datetime(seen)).days} days"


def _day(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d}"
