"""Making a set: gathered from one state of the vault, signed, sealed, written, read back from the disk, compared.

A file gets its name only when all of that was well; the other targets then get copies of it, each read back as well.
Whatever goes wrong at one target is remembered as its trouble and leaves the others alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from backup import book as books
from backup import payload, reading, sealing, targets
from backup.book import Book, Copy, Made, Target
from backup.payload import Gathered, Link, Manifest, Recipient, TargetList
from backup.reading import Opened, Opener
from backup.retention import look
from vault import keys, moment
from vault.errors import (
    CannotRead,
    DamagedBackup,
    DamagedVault,
    DiskFull,
    ForeignBackup,
    ForgedSignature,
    KeyferryError,
    NoTarget,
)
from vault.files import held, private_file
from vault.moment import Instant
from vault.store import Store

LOCK = "backup.lock"
_PIECE = 1 << 20
_BESIDES = 1 << 20  # bytes for everything but the parts
Advance = Callable[[int], None]


class Placed(msgspec.Struct, frozen=True):
    """What became of a set at one target; ``trouble`` is empty if a verified copy is there."""

    target: str
    path: str
    trouble: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What ``create`` did; ``made`` is None if the newest set holds everything already."""

    made: Made | None
    places: tuple[Placed, ...]
    seconds: float = 0.0

    @property
    def troubles(self) -> tuple[Placed, ...]:
        """The places that got nothing."""
        return tuple(one for one in self.places if one.trouble)


def own_opener(store: Store) -> Opener:
    """Return what opens and proves this vault's sets on this device."""
    own = keys.own_device(store)
    return Opener((own.age,), keys.own_roots(store), keys.own_chain(store), own.bundle.ed25519)


def create(
    store: Store,
    home: Path,
    *,
    to: Path | None = None,
    if_changed: bool = False,
    clock: Callable[[], Instant] = moment.now,
    advance: Advance = lambda _: None,
) -> Outcome:
    """Make a set at every target that is here, or as the one file ``to``.

    With ``if_changed`` a set that would hold nothing new is not made; targets that lack the newest one get it. Raises
    ``VaultBusy`` (another backup is running), ``NoTarget``, ``DamagedVault``, and if no target could take the set, what
    the first one raised.
    """
    began = time.monotonic()
    with making(home):
        with store.snapshot():
            book = books.load(store, home)
            at = clock()  # in the parts and in the manifest the same, even if the second passes meanwhile
            gathered = payload.gather(store, at, advance)
            state = _state(store, book, gathered)
        newest = book.made(book.newest)
        if if_changed and to is None and state == book.state and newest is not None and _is_kept(book, newest):
            return _brought(store, home, book, newest, clock(), began)
        book = books.change(store, home, lambda book: _begun(store, _welcomed(store, book, clock()), clock()))
        with store.snapshot():
            if not payload.is_there(gathered):  # an attachment was purged meanwhile
                at = clock()
                gathered = payload.gather(store, at)
                state = _state(store, book, gathered)
            made, places, refused = _made(store, book, gathered, at, to)
        books.change(store, home, lambda book: _ended(book, made, places, state, clock()))
    if made is None:
        raise refused
    return Outcome(made, tuple(one.placed for one in places), time.monotonic() - began)


def making(home: Path) -> AbstractContextManager[None]:
    """Keep other processes from making, removing or healing backups of this vault meanwhile; raises ``VaultBusy``."""
    return held(home / LOCK, "making or checking backups of this vault")


def is_changed(store: Store, home: Path) -> bool:
    """Tell whether a set made now would hold anything that the newest one does not; reads the whole vault."""
    with store.snapshot():
        book = books.load(store, home)
        return not book.newest or _state(store, book, payload.gather(store, moment.now())) != book.state


def recipients(store: Store, book: Book) -> tuple[Recipient, ...]:
    """Return whom a set made now is sealed to: the kit, the devices, and who was added by consent."""
    kit = tuple(Recipient("kit", "recovery kit", one.recipient) for one in keys.kits(store) if not one.until)
    devices = tuple(Recipient("device", one.name, one.bundle.age) for one in keys.members(store))
    return (*kit, *devices, *book.recipients)


def _begun(store: Store, book: Book, now: Instant) -> Book:
    """Reserve a counter: no two sets of a device have the same, even if this one is never finished.

    A vault file that was put back to an older state counts on from the newest of its sets that is here.
    """
    device = keys.own_device(store).device_id
    newest = max((made.counter for made in book.sets if made.device == device), default=0)
    counter = max(book.counter, newest) + 1
    return msgspec.structs.replace(book, counter=counter, clock=look(book.clock, moment.to_datetime(now)))


def _welcomed(store: Store, book: Book, now: Instant) -> Book:
    """Return the book with the sets that others have put into the targets."""
    for target in book.targets:
        with contextlib.suppress(KeyferryError):
            folder = targets.locate(target)
            found = target
            for made, copy in newcomers(store, book, target, folder, now):
                book, found = books.with_set(book, made), books.with_copy(found, copy)
            book = books.with_target(book, found)
    return book


class _Place(msgspec.Struct, frozen=True):
    placed: Placed
    target: Target | None
    copy: Copy | None


def _made(
    store: Store, book: Book, gathered: Gathered, now: Instant, to: Path | None
) -> tuple[Made | None, list[_Place], KeyferryError]:
    """Write the set to the first place that takes it and copy it to the others; also what the first refusal was."""
    writer = _Writer(store, gathered, _manifest(store, book, gathered, now))
    refused: KeyferryError = NoTarget("there is no backup target", hint="keyferry backup target add DIR")
    if to is not None:
        return writer.write(to, None), [_Place(Placed("", str(to)), None, None)], refused
    places: list[_Place] = []
    made_at: Path | None = None
    made: Made | None = None
    for target in book.targets:
        try:
            folder = targets.locate(target)
            targets.sweep(folder, book.tag)
            path = folder / writer.name
            check_room(folder, gathered_size(gathered))
            beside = folder / targets.partial_name(book.tag)
            if made is None or made_at is None:
                made = writer.write(path, beside)
                made_at = path
            else:
                copy_set(made_at, path, beside, made.digest)
            found = targets.moved(target, folder)
            places.append(_Place(Placed(target.id, str(path)), found, copy_of(made.id, path, now)))
        except DamagedVault:
            raise
        except KeyferryError as error:
            if all(place.copy is not None for place in places):
                refused = error
            if made is None:  # a disk that fails may keep the file: no two files of one set may differ
                writer = _Writer(store, gathered, _manifest(store, book, gathered, now))
            trouble = Placed(target.id, target.path, error.message)
            places.append(_Place(trouble, msgspec.structs.replace(target, trouble=error.message), None))
    return made, places, refused


def _ended(book: Book, made: Made | None, places: list[_Place], state: str, now: Instant) -> Book:
    if made is not None:
        book = books.with_set(book, made)
    if all(place.target is None for place in places):
        return book  # a file somewhere else: the next scheduled set is made as if it were not there
    for place in places:
        if place.target is None:
            continue
        # The book may have changed meanwhile: only what is known anew is put into it.
        known = book.target(place.target.id)
        if known is None:
            continue
        fresh = msgspec.structs.replace(
            known, path=place.target.path, volume=place.target.volume, inside=place.target.inside
        )
        fresh = msgspec.structs.replace(fresh, trouble=place.placed.trouble)
        if place.copy is not None:
            fresh = msgspec.structs.replace(books.with_copy(fresh, place.copy), seen_at=now)
        book = books.with_target(book, fresh)
    return book if made is None else msgspec.structs.replace(book, newest=made.id, state=state)


def _is_kept(book: Book, made: Made) -> bool:
    """Tell whether a good copy of the set is left: at a target where it was last seen, or read just now."""
    if all(_holds(target, made) for target in book.targets):
        return True
    try:
        good_copy(book, made)
    except DamagedBackup:
        return False
    return True


def _holds(target: Target, made: Made) -> bool:
    """Tell whether the target has the set as it was when it was verified; of one that is away nothing else is known."""
    copy = next((copy for copy in target.copies if copy.set == made.id and not copy.trouble), None)
    if copy is None:
        return False
    try:
        path = targets.locate(target) / made.name
    except KeyferryError:
        return True
    try:
        state = os.lstat(path)
        return (state.st_size, state.st_mtime_ns) == (copy.size, copy.changed) or reading.digest_of(path) == made.digest
    except (OSError, KeyferryError):
        return False


def _brought(store: Store, home: Path, book: Book, made: Made, now: Instant, began: float) -> Outcome:
    """Bring the newest set to the targets that lack it."""
    places = list(bring(book, made, now))
    if places:
        books.change(store, home, lambda fresh: _ended(fresh, made, places, book.state, now))
    return Outcome(None, tuple(one.placed for one in places), time.monotonic() - began)


def bring(book: Book, made: Made, now: Instant) -> Iterator[_Place]:
    """Copy a set to every target that lacks it, from one that holds it; yields what became of it at each."""
    for target in book.targets:
        if _holds(target, made):
            continue
        try:
            folder = targets.locate(target)
            source = good_copy(book, made)
            path = folder / made.name
            if os.path.lexists(path):
                raise DamagedBackup(f"{path} is not as it was", hint="keyferry backup verify --all --repair")
            check_room(folder, made.size)
            copy_set(source, path, folder / targets.partial_name(book.tag), made.digest)
            found = targets.moved(target, folder)
            yield _Place(Placed(target.id, str(path)), found, copy_of(made.id, path, now))
        except KeyferryError as error:
            broken = msgspec.structs.replace(target, trouble=error.message)
            yield _Place(Placed(target.id, target.path, error.message), broken, None)


def good_copy(book: Book, made: Made) -> Path:
    """Return the path of a copy of the set whose bytes are right, read now; raises ``DamagedBackup``."""
    for target in book.holders(made.id):
        try:
            path = targets.locate(target) / made.name
            if reading.digest_of(path) == made.digest:
                return path
        except KeyferryError:
            continue
    raise DamagedBackup(f"no good copy of {made.name} is within reach", hint="plug in the drive that has one")


def adopted(store: Store, book: Book, found: Opened) -> Made:
    """Return what the book is to know of a set that was read whole.

    Raises ``ForeignBackup`` for another vault's, ``ForgedSignature`` for one of a device that is no member now,
    ``DamagedBackup`` for a file that has not its set's name, or is another file than the one known of its set.
    """
    manifest = found.manifest
    if manifest.vault != store.vault_id:
        raise ForeignBackup("the backup belongs to another vault")
    if all(member.device_id != manifest.device for member in keys.members(store)):
        raise ForgedSignature("it is signed by a revoked device")
    name = targets.set_name(manifest.made_at, manifest.set)
    if found.path.name != name:
        raise DamagedBackup(f"it was renamed: the backup in it is called {name}")
    known = book.made(manifest.set)
    if known is not None and known.digest != found.digest:
        raise DamagedBackup("it is another file than the one that was made of this backup")
    return Made(
        id=manifest.set,
        name=found.path.name,
        digest=found.digest,
        size=found.size,
        device=manifest.device,
        counter=manifest.counter,
        made_at=manifest.made_at,
        items=manifest.counts.items,
        content=manifest.content,
    )


def newcomers(store: Store, book: Book, target: Target, folder: Path, now: Instant) -> Iterator[tuple[Made, Copy]]:
    """Yield the sets in a target that the book does not know: another device's, or one from before a crash.

    Files that are none of this vault's, or not whole, are passed over.
    """
    known = {made.name for copy in target.copies if (made := book.made(copy.set)) is not None}
    known |= {link.set[:8] for link in target.pruned}
    opener = own_opener(store)
    for path in targets.files(folder):
        cut = targets.NAME.fullmatch(path.name)
        if cut is None or path.name in known or cut[2] in known:
            continue
        with contextlib.suppress(KeyferryError):
            reading.peek(path, opener)  # a stranger's file is told by its beginning
            made = adopted(store, book, reading.check(path, opener))
            yield made, copy_of(made.id, path, now)


class _Writer:
    """Writes one set; what it is sealed to and signed by is fixed."""

    def __init__(self, store: Store, gathered: Gathered, manifest: Manifest) -> None:
        self._gathered, self._manifest = gathered, manifest
        self._data = payload.encoded(manifest)
        self._statement = keys.sign_statement(store, payload.PURPOSE, self._data)
        self._opener = own_opener(store)

    @property
    def name(self) -> str:
        """The set's file name at a target."""
        return targets.set_name(self._manifest.made_at, self._manifest.set)

    def write(self, path: Path, beside: Path | None) -> Made:
        """Write the file, read it back and return what it is.

        All of a file is authenticated: whatever it gives back is what was sealed, and its manifest that of this set.
        Raises ``DamagedBackup`` if it is not, ``DamagedVault`` if the vault's own documents are to blame.
        """
        found: list[Opened] = []

        def prove(written: Path) -> None:
            try:
                found.append(reading.check(written, self._opener))
            except DamagedBackup:
                payload.check_documents(self._gathered)
                raise _other_bytes(path) from None
            if found[0].manifest != self._manifest:
                raise _other_bytes(path)

        with private_file(path, replace=False, beside=beside, proven=prove) as file:
            zip_ = payload.content(self._gathered, self._data, self._statement)
            sealing.seal(zip_, file, [one.key for one in self._manifest.recipients])
        manifest = self._manifest
        return Made(
            id=manifest.set,
            name=path.name,
            digest=found[0].digest,
            size=found[0].size,
            device=manifest.device,
            counter=manifest.counter,
            made_at=manifest.made_at,
            items=manifest.counts.items,
            content=manifest.content,
        )


def copy_set(source: Path, path: Path, beside: Path, digest: str, *, replace: bool = False) -> None:
    """Copy a set's file and read the copy back; raises ``DamagedBackup`` if its bytes are not those of the digest."""

    def prove(written: Path) -> None:
        if reading.digest_of(written) != digest:
            raise _other_bytes(path)

    with private_file(path, replace=replace, beside=beside, proven=prove) as file:
        for piece in _pieces(source):
            file.write(piece)


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise CannotRead(f"cannot read {path}: {(error.strerror or 'refused').lower()}") from None


def _other_bytes(path: Path) -> DamagedBackup:
    return DamagedBackup(f"{path.parent} does not give back what was written", hint="check this disk, or use another")


def copy_of(set_id: str, path: Path, now: Instant) -> Copy:
    """Return what is to be remembered of a file that was just read back; raises ``CannotRead`` if it has vanished."""
    try:
        state = os.stat(path)
    except OSError as error:
        raise CannotRead(f"cannot read {path}: {(error.strerror or 'refused').lower()}") from None
    return Copy(set_id, now, "", state.st_size, state.st_mtime_ns)


def check_room(folder: Path, size: int) -> None:
    """Check that the folder has room for two sets of that size; raises ``DiskFull``."""
    free = targets.room(folder)
    if free < 2 * size:
        raise DiskFull(
            f"{folder} has too little room for backups: two take {_megabytes(2 * size)}, {_megabytes(free)} are free",
            hint="make room there; old sets are not removed for it",
        )


def gathered_size(gathered: Gathered) -> int:
    """Return about how large the file of a set will be, in bytes, rather more than less."""
    whole = sum(map(len, gathered.packed.values())) + gathered.counts.document_bytes
    return whole + whole // 20 + 300 * len(gathered.parts) + _BESIDES


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _manifest(store: Store, book: Book, gathered: Gathered, now: Instant) -> Manifest:
    chain, device = keys.own_chain(store), keys.own_device(store)
    own = next((one for one in keys.members(store) if one.device_id == device.device_id), None)
    newest = book.made(book.newest)
    return Manifest(
        vault=store.vault_id,
        name=store.meta("name") or "",
        set=secrets.token_hex(8),
        counter=book.counter,
        previous=Link(newest.id, newest.digest) if newest is not None else None,
        made_at=now,
        device=device.device_id,
        device_name=own.name if own is not None else "",
        membership=keys.head_of(chain).hex(),
        height=len(chain),
        recipients=recipients(store, book),
        counts=gathered.counts,
        content=gathered.content,
        members=gathered.parts,
        targets=tuple(_listed(book, target) for target in book.targets),
    )


def _listed(book: Book, target: Target) -> TargetList:
    digests = {made.id: made.digest for made in book.sets}
    there = {copy.set: digests[copy.set] for copy in target.copies if copy.set in digests}
    return TargetList(target.id, there, {one.set: one.digest for one in target.pruned})


def _state(store: Store, book: Book, gathered: Gathered) -> str:
    """Return the digest of everything whose change makes a new set worth while."""
    parts: Sequence[str] = (
        gathered.content,
        keys.head_of(keys.own_chain(store)).hex(),
        *(one.key for one in recipients(store, book)),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
