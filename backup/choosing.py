"""Choosing the set to restore: the one that was named, or the newest that can be believed and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from backup import book as books
from backup import listing, reading, targets, trust
from backup.book import Book
from backup.reading import Opened, Opener
from backup.trust import Survey
from vault.errors import KeyferryError, NoSuchBackup, OlderBackup, OutrankedBackup
from vault.store import Store

Warn = Callable[[str], None]


class Chosen(msgspec.Struct, frozen=True):
    """The sets to try, the best first; one alone if it was named."""

    candidates: tuple[Opened, ...]
    survey: Survey
    warnings: tuple[str, ...] = ()


def choose(source: str | None, opener: Opener, store: Store | None, home: Path) -> Chosen:
    """Find what ``source`` names: a file, a folder, the id of a known set, or (None) the newest within reach.

    Raises ``NoSuchBackup``, ``OutrankedBackup``, ``OlderBackup`` (a newer one is known and not here, and none was
    named), and for a named file what ``reading.peek`` raises.
    """
    book = books.load(store, home) if store is not None else None
    path = Path(source).expanduser() if source is not None else None
    if path is not None and path.is_dir():
        return _of_folders((path,), opener, store, book)
    if path is not None and (path.exists() or path.is_symlink()):
        return _of_file(path, opener, book)
    if book is None or store is None:
        raise NoSuchBackup(f"there is no file or folder {source}", hint="name the backup file, or its folder")
    if source is not None:
        return _of_file(listing.path_of(store, book, source), opener, book)
    folders = []
    for target in book.targets:
        try:
            folders.append(targets.locate(target))
        except KeyferryError:
            continue
    return _of_folders(tuple(folders), opener, store, book)


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


def _of_file(path: Path, opener: Opener, book: Book | None) -> Chosen:
    one = reading.peek(path, opener)  # its own faults first, in its own words
    survey = trust.survey(path.parent, opener, vault=one.manifest.vault, also=path)
    if survey.is_outranked(path):
        raise _outranked(survey)
    newer = _newer_known(book, one)
    warnings = (f"this is backup {one.manifest.counter} of its device; number {newer} is known",) if newer else ()
    return Chosen((one,), survey, warnings)


def _of_folders(folders: tuple[Path, ...], opener: Opener, store: Store | None, book: Book | None) -> Chosen:
    vault = store.vault_id if store is not None else None
    surveys = [trust.survey(folder, opener, vault=vault) for folder in folders]
    sets = sorted((one for found in surveys for one in found.sets), key=trust.age, reverse=True)
    outranked = tuple(one for found in surveys for one in found.outranked)
    rejected = tuple(one for found in surveys for one in found.rejected)
    whole = Survey(tuple(sets), outranked, rejected)
    warnings = tuple(f"{one.path}: {one.error.message}" for one in rejected)
    warnings += tuple(f"{one.path}: outranked, its device was revoked since" for one in outranked)
    if not sets:
        if outranked:
            raise _outranked(whole)
        if len(rejected) == 1:
            raise rejected[0].error
        where = ", ".join(map(str, folders)) or "any target within reach"
        more = (
            f"; {len(rejected)} files were refused, the first because {rejected[0].error.message}" if rejected else ""
        )
        raise NoSuchBackup(
            f"there is no usable backup in {where}{more}", hint="name another folder, or the file itself"
        )
    newer = _newer_known(book, sets[0])
    if newer:
        raise OlderBackup(
            f"the newest backup here is number {sets[0].manifest.counter} of its device; number {newer} is known "
            "and not within reach",
            hint=f"plug in the drive that has it; or take this one by name: keyferry restore {sets[0].path}",
        )
    return Chosen(tuple(sets), whole, warnings)


def _newer_known(book: Book | None, one: Opened) -> int:
    """Return the counter of the newest set known of the same device if it is newer than this one, else 0."""
    if book is None:
        return 0
    held = {copy.set for target in book.targets for copy in target.copies}
    known = [made.counter for made in book.sets if made.device == one.manifest.device and made.id in held]
    return max((counter for counter in known if counter > one.manifest.counter), default=0)


def _outranked(survey: Survey) -> OutrankedBackup:
    best = survey.sets[0] if survey.sets else None
    return OutrankedBackup(
        "another backup in this folder knows that the device of this one was revoked, and does not know this backup",
        hint=f"keyferry restore {best.path}" if best else "name the newest backup",
    )
