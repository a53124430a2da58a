"""Choosing the set to restore: the one that was named, or the newest that can be believed and read."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from backup import book as books
from backup import listing, reading, targets, trust
from backup.book import Book, Made
from backup.payload import Manifest
from backup.reading import Opened, Opener
from backup.trust import Rejected, Survey
from vault import moment
from vault.errors import ForgedSignature, KeyferryError, NoSuchBackup, OlderBackup, OutrankedBackup
from vault.moment import Instant
from vault.store import Store

Warn = Callable[[str], None]
_MOST_NAMED = 5  # refused files that are named one by one


class Chosen(msgspec.Struct, frozen=True):
    """The sets to try, the best first; one alone if it was named."""

    candidates: tuple[Opened, ...]
    survey: Survey
    warnings: tuple[str, ...] = ()


def choose(
    source: str | None, opener: Opener, store: Store | None, home: Path, *, clock: Callable[[], Instant] = moment.now
) -> Chosen:
    """Find what ``source`` names: a file, a folder, the id of a known set, or (None) the newest within reach.

    Raises ``NoSuchBackup``, ``OutrankedBackup``, ``OlderBackup`` (a newer one is known and not here, and none was
    named), and for a named file what ``reading.peek`` raises.
    """
    book, now = books.load(store, home) if store is not None else None, clock()
    path = _path(source)
    if path is not None and path.is_dir():
        return _of_folders((path,), opener, store, book, now)
    if path is not None and os.path.lexists(path):
        return _of_file(path, opener, book, now)
    if book is None or store is None:
        raise NoSuchBackup(f"there is no file or folder {source}", hint="name the backup file, or its folder")
    if source is not None:
        return _of_file(listing.path_of(store, book, source), opener, book, now)
    folders = []
    for target in book.targets:
        try:
            folders.append(targets.locate(target))
        except KeyferryError:
            continue
    return _of_folders(tuple(folders), opener, store, book, now)


def _path(source: str | None) -> Path | None:
    try:
        return Path(source).expanduser() if source is not None else None
    except RuntimeError:  # a user that does not exist
        return None


def prove(chosen: Chosen, opener: Opener, warn: Warn) -> tuple[Opened, Path]:
    """Read the best candidate whole, and where it is damaged the next; raises what the last one raised."""
    for at, candidate in enumerate(chosen.candidates, 1):
        try:
            return reading.check(candidate.path, opener), candidate.path
        except KeyferryError as error:
            if at == len(chosen.candidates):
                raise
            warn(f"{candidate.path}: {error.message}; trying the one before it")
    raise NoSuchBackup("there is no backup here that can be used")


def _of_file(path: Path, opener: Opener, book: Book | None, now: Instant) -> Chosen:
    try:
        one = reading.peek(path, opener)  # its own faults first, in its own words
    except KeyferryError as error:
        raise _alone(error) from None
    survey = trust.survey(path.parent, opener, now, vault=one.manifest.vault, also=path)
    if survey.is_outranked(path):
        raise _outranked(survey)
    newer = _newer_known(book, one, frozenset())
    warnings = (f"{_numbered(one, newer)} is known",) if newer is not None else ()
    return Chosen((one,), survey, warnings)


def _of_folders(
    folders: tuple[Path, ...], opener: Opener, store: Store | None, book: Book | None, now: Instant
) -> Chosen:
    vault = store.vault_id if store is not None else None
    surveys = [trust.survey(folder, opener, now, vault=vault) for folder in folders]
    whole = Survey(
        trust.newest_first((one for found in surveys for one in found.sets), now),
        tuple(one for found in surveys for one in found.outranked),
        tuple(one for found in surveys for one in found.rejected),
        sum(found.unread for found in surveys),
    )
    if not whole.sets:
        raise _nothing(whole, folders)
    best = whole.sets[0]
    newer = _newer_known(book, best, {one.manifest.set for one in whole.sets})
    if newer is not None:
        raise OlderBackup(
            f"{_numbered(best, newer)} is known, and cannot be reached or read",
            hint=f"plug in the drive that has it; or take this one by name: keyferry restore {best.path}",
        )
    return Chosen(whole.sets, whole, _warnings(whole))


def _nothing(survey: Survey, folders: tuple[Path, ...]) -> KeyferryError:
    if survey.outranked:
        return _outranked(survey)
    if len(survey.rejected) == 1:
        return _alone(survey.rejected[0].error)
    where, more = ", ".join(map(str, folders)) or "any target within reach", ""
    if survey.rejected:
        more = f"; {len(survey.rejected):,} files were refused, the first because {survey.rejected[0].error.message}"
    return NoSuchBackup(f"there is no usable backup in {where}{more}", hint="name another folder, or the file itself")


def _alone(error: KeyferryError) -> KeyferryError:
    """Return the error as it reads where no file's name stands before it."""
    if not isinstance(error, ForgedSignature):
        return error
    return ForgedSignature(
        f"the backup is not proven: {error.message}",
        hint="name another backup, or use the kit that was in force when this one was made",
    )


def _warnings(survey: Survey) -> tuple[str, ...]:
    named, others = survey.rejected[:_MOST_NAMED], survey.rejected[_MOST_NAMED:]
    said = [_refused(one) for one in named]
    if others:
        said.append(f"{len(others):,} more files here were refused; keyferry backup list DIR names them")
    said += [f"{one.path}: outranked, its device was revoked since" for one in survey.outranked]
    return tuple(said)


def _refused(one: Rejected) -> str:
    message = one.error.message
    return message if str(one.path) in message else f"{one.path}: {message}"


def _newer_known(book: Book | None, one: Opened, here: Collection[str]) -> Made | None:
    """Return the newest set known that should be somewhere, is newer than this one and not ``here``; None is fine.

    Of one device the counter says which is newer, of two their clocks.
    """
    if book is None:
        return None
    held = {copy.set for target in book.targets for copy in target.copies}
    newest: dict[str, Made] = {}
    for made in sorted(book.sets, key=lambda made: made.counter):
        if made.id in held:
            newest[made.device] = made
    return next((made for made in newest.values() if made.id not in here and _is_newer(made, one.manifest)), None)


def _is_newer(made: Made, manifest: Manifest) -> bool:
    if made.device == manifest.device:
        return made.counter > manifest.counter
    return moment.to_datetime(made.made_at) > moment.to_datetime(manifest.made_at)


def _numbered(one: Opened, newer: Made) -> str:
    """Return the beginning of the sentence that a newer set is known."""
    if newer.device == one.manifest.device:
        return f"this is backup {one.manifest.counter} of its device; number {newer.counter}"
    return f"this backup is of {one.manifest.made_at}; one of {newer.made_at} by another device"


def _outranked(survey: Survey) -> OutrankedBackup:
    best = survey.sets[0] if survey.sets else None
    return OutrankedBackup(
        "another backup in this folder knows that the device of this one was revoked, and does not know this backup",
        hint=f"keyferry restore {best.path}" if best else "name the newest backup",
    )
