"""Looking after sets that are there: verify, heal, prune, and the drill that proves a restore.

Nothing is believed that was not read just now; what was found is kept in the book. Nothing here removes a set that is
not the rules' to remove (``backup.retention``), and nothing is ever removed from an append-only target.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from backup import book as books
from backup import making, payload, reading, retention, targets
from backup.book import Alarm, Book, Copy, Drill, Made, Target
from backup.making import Advance
from backup.payload import Link, Manifest, Part
from backup.reading import Opener
from backup.retention import Held, Policy
from vault import canonical, cxf, moment
from vault.errors import (
    BackupError,
    CannotRead,
    DamagedBackup,
    DamagedExport,
    KeyferryError,
    NoSuchBackup,
    SealedElsewhere,
)
from vault.files import sync_folder, write_errors
from vault.model import Item, Vault
from vault.moment import Instant
from vault.store import Store
from vault.views import display_title

GOOD, MISSING, DAMAGED, FOREIGN, AWAY = "good", "missing", "damaged", "foreign", "away"
SEALED = "sealed"  # to other keys: of another vault, or from before this device was one of its vault
_MOST_PRUNED = 500
_ITEM = b'{"id"'


class Finding(msgspec.Struct, frozen=True):
    """What was found at one place; ``affected`` are titles of items that the damaged file cannot give back."""

    verdict: str
    target: str
    path: str
    set: str = ""
    text: str = ""
    items: int = 0
    affected: tuple[str, ...] = ()
    elsewhere: str = ""  # the path of a good copy
    healed: bool = False


class Pruned(msgspec.Struct, frozen=True):
    """What a pass of pruning removed or would remove; ``waiting`` needs a person's yes; ``text`` says why nothing."""

    target: str
    path: str
    removed: tuple[Made, ...] = ()
    waiting: tuple[Made, ...] = ()
    text: str = ""


def verify(
    store: Store,
    home: Path,
    wanted: Sequence[str] | None = None,
    *,
    repair: bool = False,
    clock: Callable[[], Instant] = moment.now,
    advance: Advance = lambda _: None,
) -> tuple[Finding, ...]:
    """Read the sets with these ids, or all, at every target, and say how each is; heal what can be healed.

    What was found is kept in the book. Raises ``VaultBusy``.
    """
    with making.making(home):
        opener = making.own_opener(store)
        book = books.load(store, home)
        found: list[Finding] = []
        for target in book.targets:
            for finding, copy, made in _at_target(store, book, target, opener, wanted, clock, advance):
                if repair and finding.verdict in (DAMAGED, MISSING):
                    finding, copy = _healed(book, target, finding, copy, clock())
                found.append(finding)
                book = books.change(store, home, _noting(target.id, finding, copy, made, clock()))
    return tuple(found)


def _at_target(
    store: Store,
    book: Book,
    target: Target,
    opener: Opener,
    wanted: Sequence[str] | None,
    clock: Callable[[], Instant],
    advance: Advance,
) -> Iterable[tuple[Finding, Copy | None, Made | None]]:
    try:
        folder = targets.locate(target)
        targets.sweep(folder, book.tag)
        present = {path.name: path for path in targets.files(folder)}
    except KeyferryError as error:
        yield Finding(AWAY, target.id, target.path, text=error.message), None, None
        return
    known = {made.name: (made, copy) for copy in target.copies if (made := book.made(copy.set)) is not None}
    for name, (made, copy) in sorted(known.items()):
        present.pop(name, None)
        if wanted is None or made.id in wanted:
            yield (*_known(store, book, target, folder / name, made, copy, opener, clock()), None)
        advance(1)
    gone = {link.set[:8] for link in target.pruned}
    for name, path in sorted(present.items()):
        if wanted is None and not _is_pruned(name, gone):
            yield _unknown(store, book, target, path, opener, clock())


def _known(
    store: Store, book: Book, target: Target, path: Path, made: Made, copy: Copy, opener: Opener, now: Instant
) -> tuple[Finding, Copy]:
    """Read a file the book knows."""
    finding = Finding(GOOD, target.id, str(path), made.id, items=made.items)
    try:
        found = reading.check(path, opener)
        if found.manifest.set != made.id or found.digest != made.digest:
            raise DamagedBackup("the file holds another backup than the one that was written there")
        return finding, making.copy_of(made.id, path, now)
    except NoSuchBackup:
        text = "the file is gone, and was not pruned"
        verdict = MISSING
    except (BackupError, CannotRead) as error:
        text, verdict = error.message, DAMAGED
    affected = _affected(store, path, made, opener)
    other = _elsewhere(book, target, made)
    trouble = msgspec.structs.replace(copy, trouble=verdict)
    named = {"verdict": verdict, "text": text, "affected": affected, "elsewhere": other}
    return msgspec.structs.replace(finding, **named), trouble


def _unknown(
    store: Store, book: Book, target: Target, path: Path, opener: Opener, now: Instant
) -> tuple[Finding, Copy | None, Made | None]:
    """Read a file nobody has told the book of: another device's, one from before a crash, or a stranger's."""
    try:
        made = making.adopted(store, book, reading.check(path, opener))
        copy = making.copy_of(made.id, path, now)
    except SealedElsewhere:
        return (
            Finding(SEALED, target.id, str(path), text="it is not sealed to this device, so only a kit tells"),
            None,
            None,
        )
    except KeyferryError as error:
        return Finding(FOREIGN, target.id, str(path), text=error.message), None, None
    return Finding(GOOD, target.id, str(path), made.id, items=made.items), copy, made


def _noting(
    target_id: str, finding: Finding, copy: Copy | None, made: Made | None, now: Instant
) -> Callable[[Book], Book]:
    def note(book: Book) -> Book:
        target = book.target(target_id)
        if target is None or copy is None:
            return book
        if made is not None:
            book = books.with_set(book, made)
        book = books.with_target(book, books.with_copy(target, copy))
        if not copy.trouble:
            return books.healed(book, target_id, copy.set, now)
        return books.alarmed(book, Alarm(now, target_id, copy.set, f"{finding.path}: {finding.text}"))

    return note


def _elsewhere(book: Book, target: Target, made: Made) -> str:
    others = tuple(one for one in book.targets if one.id != target.id)
    try:
        return str(making.good_copy(msgspec.structs.replace(book, targets=others), made))
    except BackupError:
        return ""


def _healed(
    book: Book, target: Target, finding: Finding, copy: Copy | None, now: Instant
) -> tuple[Finding, Copy | None]:
    """Put a good copy in the place of a bad one."""
    made = book.made(finding.set)
    path = Path(finding.path)
    if made is None or not finding.elsewhere:
        return finding, copy
    if target.append_only and finding.verdict == DAMAGED:
        text = f"{finding.text}; the target is append-only, so it was not replaced"
        return msgspec.structs.replace(finding, text=text), copy
    try:
        beside = path.parent / targets.partial_name(book.tag)
        making.copy_set(Path(finding.elsewhere), path, beside, made.digest, replace=finding.verdict == DAMAGED)
        return msgspec.structs.replace(finding, healed=True), making.copy_of(made.id, path, now)
    except KeyferryError as error:
        return msgspec.structs.replace(finding, text=f"{finding.text}; not healed: {error.message}"), copy


def _affected(store: Store, path: Path, made: Made, opener: Opener) -> tuple[str, ...]:
    """Return the titles of today's items that the file should hold and cannot give back."""
    saved = _Salvage()
    with contextlib.suppress(KeyferryError):
        reading.check(path, opener, saved)
    late = {run.id for run in store.runs() if run.at > made.made_at}
    return tuple(
        display_title(item) for item in store.items() if item.id not in saved.ids and _was_there(item, made, late)
    )


def _was_there(item: Item, made: Made, late: set[str]) -> bool:
    """Tell whether the item may have been in the vault when the set was made."""
    if item.provenance is not None:
        return item.provenance.run not in late
    if item.creation_at is None or not moment.is_instant(item.creation_at):
        return True
    return moment.to_datetime(item.creation_at) <= moment.to_datetime(made.made_at)


class _Salvage:
    """A receiver that notes the ids of the items it sees, one line each, until the file ends or breaks."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self._rest = b""

    def begin(self, manifest: Manifest) -> None:
        """Nothing to do."""

    def part(self, part: Part) -> Callable[[bytes], object]:
        return self._take if part.name == payload.VAULT else len

    def end(self, part: Part) -> None:
        """Nothing to do."""

    def _take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(_ITEM):
                try:
                    self.ids.add(canonical.decode_any(line.rstrip(b","))["id"])
                except (ValueError, KeyError, TypeError):
                    continue


def prune(
    store: Store,
    home: Path,
    *,
    dry_run: bool = False,
    whole: bool = False,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    clock: Callable[[], Instant] = moment.now,
) -> tuple[Pruned, ...]:
    """Remove at every target what the policy has no place for; ``whole`` also what needs a person's yes.

    Raises ``VaultBusy``.
    """
    now = clock()
    with making.making(home):
        look = books.load(store, home) if dry_run else books.change(store, home, lambda book: _looked(book, now))
        return tuple(_pruned(store, home, look, target, policy, now, dry_run, whole) for target in look.targets)


def _looked(book: Book, now: Instant) -> Book:
    return msgspec.structs.replace(book, clock=retention.look(book.clock, moment.to_datetime(now)))


def _pruned(
    store: Store, home: Path, book: Book, target: Target, policy: Policy, now: Instant, dry_run: bool, whole: bool
) -> Pruned:
    nothing = Pruned(target.id, target.path)
    if target.append_only:
        return msgspec.structs.replace(nothing, text="append-only: nothing is removed here")
    try:
        folder = targets.locate(target)
    except KeyferryError as error:
        return msgspec.structs.replace(nothing, text=error.message)
    held = [_held(made, copy) for copy in target.copies if (made := book.made(copy.set)) is not None]
    when = moment.to_datetime(now)
    if not retention.look(book.clock, when).is_trusted:
        return msgspec.structs.replace(
            nothing, text="the clock has jumped: nothing is removed until it is trusted again"
        )
    plan = retention.plan(held, policy, when)
    going = (*plan.remove, *(plan.later if whole else ()))
    removed = tuple(made for one in going if (made := book.made(one)) is not None)
    waiting = tuple(made for one in plan.later if not whole and (made := book.made(one)) is not None)
    done = Pruned(target.id, str(folder), removed, waiting)
    if dry_run or not removed:
        return done
    if (bad := _unsafe_to_prune(book, target, folder, removed)) is not None:
        return Pruned(target.id, str(folder), text=bad)
    books.change(store, home, lambda fresh: _without(fresh, target.id, removed))
    try:
        with write_errors(folder):
            for made in removed:
                (folder / made.name).unlink(missing_ok=True)
            sync_folder(folder)
    except KeyferryError as error:
        return msgspec.structs.replace(done, text=error.message)
    return done


def _held(made: Made, copy: Copy) -> Held:
    verified = bool(copy.verified_at) and not copy.trouble
    return Held(made.id, made.device, made.counter, moment.to_datetime(made.made_at), verified)


def _unsafe_to_prune(book: Book, target: Target, folder: Path, removed: Sequence[Made]) -> str | None:
    """Read the newest set of each device that loses one, and say if it is not as it was when it was verified."""
    going = {made.id for made in removed}
    staying = [made for copy in target.copies if (made := book.made(copy.set)) is not None and made.id not in going]
    for device in {made.device for made in removed}:
        own = [made for made in staying if made.device == device]
        newest = max(own, key=lambda made: (made.made_at, made.counter))
        try:
            if reading.digest_of(folder / newest.name) == newest.digest:
                continue
        except KeyferryError:
            pass
        return f"nothing was removed: {newest.name} is not as it was; keyferry backup verify --all --repair"
    return None


def lost(store: Store, home: Path) -> tuple[tuple[Target, Made], ...]:
    """Return what is damaged or missing at a target that is here, and of which no good copy is within reach."""
    book = books.load(store, home)
    found = []
    for target in book.targets:
        with contextlib.suppress(KeyferryError):
            targets.locate(target)
            bad = (book.made(copy.set) for copy in target.copies if copy.trouble)
            found += [(target, made) for made in bad if made is not None and not _elsewhere(book, target, made)]
    return tuple(found)


def forget(store: Store, home: Path, gone: Sequence[tuple[Target, Made]], *, now: Instant) -> None:
    """Expect these sets no longer and end the alarms about them; what is left of their files stays where it is."""

    def without(book: Book) -> Book:
        for target, made in gone:
            book = books.healed(_without(book, target.id, (made,)), target.id, made.id, now)
        return book

    books.change(store, home, without)


def _without(book: Book, target_id: str, removed: Sequence[Made]) -> Book:
    target = book.target(target_id)
    if target is None:
        return book
    gone = {made.id for made in removed}
    links = tuple(Link(made.id, made.digest) for made in removed)
    target = msgspec.structs.replace(
        target,
        copies=tuple(copy for copy in target.copies if copy.set not in gone),
        pruned=(*target.pruned, *links)[-_MOST_PRUNED:],
    )
    book = books.with_target(book, target)
    held = {copy.set for one in book.targets for copy in one.copies}
    return msgspec.structs.replace(book, sets=tuple(made for made in book.sets if made.id in held))


def _is_pruned(name: str, gone: set[str]) -> bool:
    found = targets.NAME.fullmatch(name)
    return found is not None and found[2] in gone


class Contents:
    """A receiver that keeps the vault and its history in memory; documents are only counted."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[bytes]] = {payload.VAULT: [], payload.HISTORY: []}

    def begin(self, manifest: Manifest) -> None:
        """Nothing to do."""

    def part(self, part: Part) -> Callable[[bytes], object]:
        kept = self._pieces.get(part.name)
        return len if kept is None else kept.append

    def end(self, part: Part) -> None:
        """Nothing to do."""

    @property
    def vault_bytes(self) -> bytes:
        """The part that holds the vault."""
        return b"".join(self._pieces[payload.VAULT])

    @property
    def history(self) -> list[bytes]:
        """The lines of the history."""
        return b"".join(self._pieces[payload.HISTORY]).splitlines()

    def vault(self) -> Vault:
        """Return the vault; raises ``DamagedBackup``."""
        try:
            with canonical.many():
                return cxf.decode(canonical.decode_any(self.vault_bytes))
        except (DamagedExport, ValueError, RecursionError):
            raise DamagedBackup("the vault in the backup is not built as Keyferry builds it") from None


def drill(
    store: Store, home: Path, *, clock: Callable[[], Instant] = moment.now, advance: Advance = lambda _: None
) -> Drill:
    """Restore the newest set within reach into memory and compare it item by item; the result is kept in the book.

    Each item is written again from what was restored and must be byte for byte what the set holds; items that were not
    changed since must equal those in the vault. Raises ``NoSuchBackup`` if there is no set within reach.
    """
    began = time.monotonic()
    book = books.load(store, home)
    made, path = _newest(book)
    trouble, count = "", 0
    try:
        count = _drilled(store, path, made, advance)
    except KeyferryError as error:
        trouble = error.message
    done = Drill(clock(), made.id, count, round(time.monotonic() - began, 3), trouble)
    books.change(store, home, lambda book: _drill_noted(book, done))
    return done


def _drill_noted(book: Book, done: Drill) -> Book:
    return msgspec.structs.replace(book, drill=done, proven=book.proven if done.trouble else done)


def _newest(book: Book) -> tuple[Made, Path]:
    for made in sorted(book.sets, key=lambda made: (made.made_at, made.counter), reverse=True):
        for target in book.holders(made.id):
            try:
                path = targets.locate(target) / made.name
            except KeyferryError:
                continue
            if os.path.lexists(path):
                return made, path
    raise NoSuchBackup("there is no backup within reach", hint="keyferry backup create")


def _drilled(store: Store, path: Path, made: Made, advance: Advance) -> int:
    contents = Contents()
    opened = reading.check(path, making.own_opener(store), contents)
    if opened.digest != made.digest:
        raise DamagedBackup("the file holds another backup than the one that was written there")
    vault = contents.vault()
    whole = b"".join(cxf.chunks(vault.collections, vault.items, vault.extras, now=opened.manifest.made_at))
    if whole != contents.vault_bytes or len(vault.items) != opened.manifest.counts.items:
        raise DamagedBackup("what was restored is not what the backup holds")
    restored = {item.id: item for item in vault.items}
    for id_, row in store.rows():
        item = restored.get(id_)
        if item is not None and not _is_same(item, row) and not _changed_since(store, id_, item):
            raise DamagedBackup("an item was restored other than it is in the vault")
        advance(1)
    return len(vault.items)


def _changed_since(store: Store, id_: str, item: Item) -> bool:
    """Tell whether the restored item is one of the past versions of the item in the vault."""
    return any(_is_same(item, body) for _, body in store.past(id_))


def _is_same(item: Item, row: bytes) -> bool:
    """Compare by what is held: an empty note may be written in two ways."""
    return canonical.encode(item) == row or item == canonical.decode_item(row)
