"""Turning changes into entries and entries into changes; nothing here knows how entries travel.

The order of checks for an entry that arrives: size and form, membership and signature, chain of its device, suite,
clock, what it has seen, commitment, seal, content. Whatever fails before the seal changes nothing but the list of
findings. An entry is applied when everything it has seen is; entries of a revoked device after the last that counts are
void, and what they did is undone by taking all others in again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from vault import canonical, identity, membership, moment
from vault.device import Device
from vault.errors import DamagedVault, ForgedEntry, KeyferryError, NotSynced
from vault.kit import Kit
from vault.membership import Membership
from vault.model import Collection, Item
from vault.store import Store
from vault.sync import clock, entry, epochs, log, merge, restored
from vault.sync.entry import Head, Header
from vault.sync.log import APPLIED, PARKED, VOID, WAITING, Stored
from vault.views import display_title

MEMBER, ENTRY = b"member", b"entry"
Message = tuple[bytes, bytes]
ITEM, COLLECTION, EXTRAS, DEVICE, BLOB = "item", "collection", "extras", "device", "blob"
_BATCH_BYTES = 900_000  # of plaintext; an entry is a little more
_MOST_WAITING = 100_000
_MOST_STRAYS = 4096


class Finding(msgspec.Struct, frozen=True):
    """Something wrong with what arrived; ``kind`` is forged, fork, revoked, parked or suite."""

    kind: str
    text: str


_UNREADABLE = Finding("newer", "another device sent something that this version cannot read: update Keyferry")


class Received(msgspec.Struct):
    """What a batch of messages brought."""

    entries: int = 0
    members: int = 0
    changed: dict[tuple[str, str], merge.Thing | None] = {}  # None: to be read again
    findings: list[Finding] = []
    kept_against_delete: list[str] = []


@lru_cache(maxsize=8)
def _read(chain: tuple[bytes, ...]) -> Membership:
    return membership.read_chain(chain)


def _members(store: Store) -> Membership:
    return _read(identity.own_chain(store))


def begin(store: Store, now: moment.Instant) -> None:
    """Let this vault have a log from now on: its first epoch, its key wrapped for every member.

    Does nothing if it has one. Raises ``DamagedVault``.
    """
    with store.transaction():
        log.begin(store)
        chain = identity.own_chain(store)
        if not membership.read_chain(chain).epochs:
            _new_epoch(store, chain, now)


def _new_epoch(store: Store, chain: Sequence[bytes], now: moment.Instant) -> tuple[bytes, ...]:
    """Add an epoch to the chain whose key goes to every present member, and keep both."""
    found = membership.read_chain(chain)
    key, number = epochs.new_epoch_key(), len(found.epochs)
    wraps = _wraps(found, key, number, [member.device_id for member in found.members])
    wraps |= _for_kit(store, key)
    own = identity.own_device(store)
    added = membership.begin_epoch(chain, number, epochs.commitment_of(key), wraps, by=own.ed25519, now=now)
    longer = (*chain, added)
    identity.write_membership(store, longer)
    log.keep_epoch_key(store, number, key)
    return longer


def _wraps(found: Membership, key: bytes, number: int, devices: Iterable[str]) -> dict[str, tuple[int, bytes]]:
    wraps = {}
    for device_id in devices:
        member = found.member(device_id)
        if member is not None:
            suite = epochs.best_suite(member.bundle)
            data = epochs.wrap(key, member.bundle, vault=found.vault_id, epoch=number, suite=suite)
            wraps[device_id] = (suite, data)
    return wraps


def _for_kit(store: Store, key: bytes) -> dict[str, tuple[int, bytes]]:
    recipient = store.meta("kit_recipient")
    if not recipient:
        return {}
    return {epochs.kit_id(recipient): (membership.KIT_SUITE, epochs.wrap_for_kit(key, recipient))}


def seal_to_kit(store: Store, now: moment.Instant) -> None:
    """Bring the keys of all epochs to the present kit, where they are not sealed to it yet; inside a transaction."""
    recipient = store.meta("kit_recipient")
    if not recipient:
        return
    own = identity.own_device(store)
    for number, key in sorted(log.epoch_keys(store).items()):
        chain = identity.own_chain(store)
        found = _read(chain)
        if number < len(found.epochs) and epochs.kit_id(recipient) not in found.epochs[number].wraps:
            commitment = epochs.commitment_of(key)
            added = membership.begin_epoch(chain, number, commitment, _for_kit(store, key), by=own.ed25519, now=now)
            identity.write_membership(store, (*chain, added))


def enrol(store: Store, bundle_owner: membership.Member, added: bytes, now: moment.Instant) -> tuple[bytes, ...]:
    """Take the enrolment of a device into the chain and bring it the keys of all epochs; returns the longer chain."""
    with store.transaction():
        chain = (*identity.own_chain(store), added)
        own = identity.own_device(store)
        for number, key in sorted(log.epoch_keys(store).items()):
            found = membership.read_chain(chain)
            wraps = _wraps(found, key, number, [bundle_owner.device_id])
            commitment = epochs.commitment_of(key)
            chain = (*chain, membership.begin_epoch(chain, number, commitment, wraps, by=own.ed25519, now=now))
        identity.write_membership(store, chain)
    return chain


def enrol_anew(store: Store, kit: Kit, now: moment.Instant) -> None:
    """Let the kit's root enrol this device if the chain does not have it. Raises ``WrongKit``, ``UsageError``."""
    with store.transaction():
        chain, own = identity.own_chain(store), identity.own_device(store)
        if _read(chain).member(own.device_id) is not None:
            return
        chain = (*chain, membership.enrol(chain, own, name="", by=kit.root, now=now))
        found = _read(chain)
        for epoch in found.epochs:
            wrapped = epoch.wraps.get(epochs.kit_id(kit.recipient))
            if wrapped is None:
                continue
            key = epochs.unwrap_by_kit(wrapped[1], kit.identity)
            if epochs.commitment_of(key) != epoch.commitment:
                continue
            log.keep_epoch_key(store, epoch.number, key)
            wraps = _wraps(_read(chain), key, epoch.number, [own.device_id])
            added = membership.begin_epoch(chain, epoch.number, epoch.commitment, wraps, by=own.ed25519, now=now)
            chain = (*chain, added)
        identity.write_membership(store, chain)


def revoke(store: Store, device_id: str, now: moment.Instant, *, kit: Kit | None = None) -> tuple[bytes, ...]:
    """End a device's membership as of what is applied here, begin a new epoch without it; returns the longer chain.

    Signed by the kit's root, nobody can outrank it; signed by this device, one that was enrolled earlier can.
    """
    with store.transaction():
        chain = identity.own_chain(store)
        own = identity.own_device(store)
        last = log.heads(store.database).get(device_id) if log.is_on(store) else None
        upto = (last.seq, last.hash) if last is not None else (0, bytes(32))
        counted = upto if log.is_on(store) else None
        by = kit.root if kit is not None else own.ed25519
        chain = (*chain, membership.revoke(chain, device_id, by=by, now=now, last=counted))
        identity.write_membership(store, chain)
        if log.is_on(store):
            chain = _new_epoch(store, chain, now)
    return chain


# -- what this device has changed


def record(store: Store, now_ms: int) -> int:
    """Append what was changed here since the last time to this device's log; returns the number of entries.

    Raises ``NotSynced`` for a vault without a log, or if this device was revoked.
    """
    if not log.is_on(store):
        raise NotSynced("this vault is not synced", hint="keyferry device pair")
    made = 0
    with store.transaction():
        found = _members(store)
        check_member(store)
        if log.setting(store).restored:
            return 0
        if found.needs_epoch:
            found = membership.read_chain(_new_epoch(store, identity.own_chain(store), moment.now()))
        seal_to_kit(store, moment.now())
        found = _members(store)
        key = log.epoch_keys(store).get(len(found.epochs) - 1, b"")
        if epochs.commitment_of(key) != found.epochs[-1].commitment:
            raise NotSynced(
                "the vault's newest key was not brought to this device", hint="keyferry sync doctor; sync again later"
            )
        for batch in _batches(_changes(store, now_ms)):
            _append(store, found, batch, now_ms)
            made += 1
    return made


def members_of(store: Store) -> Membership:
    """Return what this vault's membership chain amounts to."""
    return _members(store)


def is_member(store: Store) -> bool:
    """Tell whether this device belongs to the vault."""
    return _members(store).member(identity.own_device(store).device_id) is not None


def check_member(store: Store) -> None:
    """Check that this device belongs to the vault; raises ``NotSynced`` if it was revoked."""
    own = identity.own_device(store).device_id
    for one in _members(store).revoked:
        if one.device_id == own:
            raise NotSynced(
                f"this device was revoked on {(one.until or '')[:10]}; its vault stays as it is, nothing goes out",
                hint="keyferry device join, in a new home, makes it a new device of the vault",
            )
    if not is_member(store):
        raise NotSynced(
            "this device does not belong to the vault: its devices changed since the backup this one came from",
            hint="keyferry sync --kit FILE enrols it anew",
        )


def _changes(store: Store, now_ms: int) -> Iterator[tuple[merge.Op, bytes | None]]:
    """Yield an op for everything that differs from what the log says, with the row as it is now."""
    tick = log.setting(store).hlc
    for kind, id_, row in _differing(store):
        thing = _thing(store, kind, id_)
        new = canonical.decode_any(row) if row is not None else None
        kept = _row_of(store, kind, id_)
        read_as = canonical.decode_any(kept) if kept is not None else None
        time = clock.tick(tick, _changed_ms(new, now_ms))
        op = merge.ops_between(kind, id_, thing, new, time, read_as=read_as)
        if op is not None:
            yield op, row
        elif row is not None:
            _keep_row(store, kind, id_, row)


def _changed_ms(row: dict[str, Any] | None, now_ms: int) -> int:
    """Return when a row was changed, by its own word where that is believable."""
    at = (row or {}).get("modifiedAt")
    if not isinstance(at, str) or not moment.is_instant(at):
        return now_ms
    return min(max(moment.to_millis(at), 0), now_ms)


def _differing(store: Store) -> list[tuple[str, str, bytes | None]]:
    db = store.database
    found: list[tuple[str, str, bytes | None]] = []
    for kind, table in ((COLLECTION, "collections"), (ITEM, "items")):
        found += db.all(
            f"SELECT '{kind}', v.id, v.body FROM {table} v LEFT JOIN sync_things t"  # noqa: S608 - fixed names
            f" ON t.kind = '{kind}' AND t.id = v.id WHERE t.row IS NULL OR t.row <> v.body ORDER BY v.seq"
        )
        found += db.all(
            f"SELECT t.kind, t.id, NULL FROM sync_things t LEFT JOIN {table} v ON v.id = t.id"  # noqa: S608
            f" WHERE t.kind = '{kind}' AND t.row IS NOT NULL AND v.id IS NULL"
        )
    found += db.all(
        "SELECT 'extras', v.format, v.body FROM extras v LEFT JOIN sync_things t"
        " ON t.kind = 'extras' AND t.id = v.format WHERE t.row IS NULL OR t.row <> v.body"
    )
    found += db.all(
        "SELECT t.kind, t.id, NULL FROM sync_things t LEFT JOIN extras v ON v.format = t.id"
        " WHERE t.kind = 'extras' AND t.row IS NOT NULL AND v.format IS NULL"
    )
    for document, blob, size, epoch in db.all(
        "SELECT document, blob, size, epoch FROM sync_blobs WHERE state = 'there' AND document NOT IN"
        " (SELECT id FROM sync_things WHERE kind = 'blob')"
    ):
        found.append((BLOB, document, canonical.encode({"blob": blob, "epoch": epoch, "size": size})))
    for device_id, name in identity.device_names(store).items():
        row = canonical.encode({"name": name})
        kept = db.value("SELECT row FROM sync_things WHERE kind = 'device' AND id = ?", (device_id,))
        if kept != row:
            found.append((DEVICE, device_id, row))
    return found


def _batches(changes: Iterable[tuple[merge.Op, bytes | None]]) -> Iterator[list[tuple[merge.Op, bytes | None]]]:
    batch: list[tuple[merge.Op, bytes | None]] = []
    size = 0
    for op, row in changes:
        length = len(merge.encode_ops([op]))
        if batch and size + length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((op, row))
        size += length
    if batch:
        yield batch


def _append(store: Store, found: Membership, batch: list[tuple[merge.Op, bytes | None]], now_ms: int) -> None:
    """Write one entry of this device and apply it here."""
    db, own = store.database, identity.own_device(store)
    heads = log.heads(db)
    setting = log.setting(store)
    hlc = clock.tick(max([setting.hlc, *(op.hlc for op, _ in batch)]), now_ms)
    number = found.epochs[-1].number
    sealed = entry.seal(
        own,
        vault=found.vault_id,
        suite=_suite(found),
        epoch=number,
        key=log.epoch_keys(store)[number],
        head=heads.get(own.device_id),
        membership=found.head,
        seen={device: head for device, head in heads.items() if device != own.device_id},
        hlc=hlc,
        kind=b"op",
        content=merge.encode_ops([op for op, _ in batch]),
    )
    header = entry.read_header(sealed)
    log.put(db, Stored(own.device_id, header.seq, header.hash, APPLIED, sealed))
    seen = {device: head.seq for device, head in header.seen.items()}
    for op, row in batch:
        thing = merge.apply(_thing(store, op.kind, op.id), op, device=own.device_id, seq=header.seq, seen=seen)
        _keep(store, op.kind, op.id, thing, row)
    log.write_setting(store, msgspec.structs.replace(setting, hlc=hlc))


def _suite(found: Membership) -> int:
    """Return the suite of the newest epoch: hybrid only if every device got its key that way."""
    return _weakest(found.epochs[-1])


def _weakest(epoch: membership.Epoch) -> int:
    suites = [suite for suite, _ in epoch.wraps.values() if suite != membership.KIT_SUITE]
    return min(suites, default=entry.CLASSIC)


# -- what others have changed


def receive(store: Store, messages: Iterable[Message], now_ms: int) -> Received:
    """Check, keep and apply what arrived, in one transaction.

    Who belongs to the vault comes first: what was changed here meanwhile is then recorded under the list that counts,
    and before anything of others is applied, so that it is not taken for what they overwrite. On a device that does
    not belong to the vault entries are only kept.
    """
    done = Received(changed={}, findings=[], kept_against_delete=[])
    arrived = list(messages)
    with store.transaction(), canonical.many():
        _take_each(store, (one for one in arrived if one[0] == MEMBER), done)
        learn_keys(store)
        if is_member(store):
            record(store, now_ms)
            _void_revoked(store, done)
        _take_each(store, (one for one in arrived if one[0] == ENTRY), done)
        if is_member(store):
            edits = restored.edits(store)
            _advance(store, now_ms, done)
            _write_vault(store, done)
            restored.reapply(store, (one for one in edits if (one.kind, one.id) in done.changed), moment.now())
    return done


def _take_each(store: Store, messages: Iterable[Message], done: Received) -> None:
    for kind, data in messages:
        try:
            if kind == MEMBER:
                _take_member(store, data, done)
            else:
                _take_entry(store, data, done)
        except ForgedEntry as error:
            done.findings.append(Finding("forged", error.message))


def _take_member(store: Store, data: bytes, done: Received) -> None:
    """Take a membership entry: the next of the chain, one that waits for it, or one of a chain that stands above."""
    chain = identity.own_chain(store)
    db, hash_ = store.database, entry.hash_of(data)
    if data in chain or log.has_stray(db, hash_):
        return
    try:
        membership.link_of(data)
    except ValueError:
        raise ForgedEntry("a membership entry is not built as they are") from None
    strays = [*log.strays(db), data]
    if len(strays) > _MOST_STRAYS:
        raise ForgedEntry("too many membership entries wait for others")
    log.keep_stray(db, hash_, data)
    longer = grown(chain, strays)
    if longer != chain:
        identity.write_membership(store, longer)
        for one in set(chain) - set(longer):
            log.keep_stray(db, entry.hash_of(one), one)  # what goes on from there may yet stand above
        log.drop_strays(db, [entry.hash_of(one) for one in longer])
        done.members += 1
        if not membership.is_prefix(chain, longer):
            done.findings.append(
                Finding("fork", "two devices changed who belongs to the vault at once; the senior one's word counts")
            )


def grown(chain: tuple[bytes, ...], strays: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the chain that stands above all that can be built of it and the strays."""
    best = chain
    known = {entry.hash_of(one): at for at, one in enumerate(chain)}
    by_link: dict[bytes, list[bytes]] = {}
    for one in strays:
        link = membership.link_of(one)
        if link is not None:
            by_link.setdefault(link, []).append(one)
    starts = [
        (chain[: known[link] + 1], one)
        for link, ones in by_link.items()
        if link in known
        for one in ones
        if entry.hash_of(one) not in known
    ]
    while starts:
        begun, one = starts.pop()
        longer = (*begun, one)
        try:
            membership.read_chain(longer)
        except DamagedVault:
            continue
        if membership.outranks(longer, best):
            best = longer
        starts += [(longer, after) for after in by_link.get(entry.hash_of(one), [])]
    return best


def _take_entry(store: Store, data: bytes, done: Received) -> None:
    """Keep an entry whose device and signature hold."""
    header = entry.read_header(data)
    if header.vault != store.vault_id:
        raise ForgedEntry("an entry of another vault was sent")
    db = store.database
    known = log.hash_at(db, header.device, header.seq)
    if known is not None:
        if known != header.hash:
            _check_origin(store, header)
            name = identity.device_names(store).get(header.device, header.device[:8])
            done.findings.append(
                Finding("fork", f"there are two entries number {header.seq} of {name}: its log was forked")
            )
        return
    _check_origin(store, header)
    if log.count_waiting(db) >= _MOST_WAITING:
        raise ForgedEntry("too many entries wait for others")
    log.put(db, Stored(header.device, header.seq, header.hash, WAITING, data))
    done.entries += 1


def _check_origin(store: Store, header: Header) -> None:
    found = _members(store)
    for one in (*found.members, *found.revoked):
        if one.device_id == header.device:
            entry.check_signature(header, one.bundle.ed25519)
            return
    raise ForgedEntry("an entry of a device that does not belong to the vault was sent")


def learn_keys(store: Store) -> None:
    """Unwrap the keys of epochs that were brought to this device."""
    found = _members(store)
    known = log.epoch_keys(store)
    own = identity.own_device(store)
    for epoch in found.epochs:
        if epoch.number in known and epochs.commitment_of(known[epoch.number]) == epoch.commitment:
            continue
        key = _brought(epoch, own, store.vault_id)
        if key is not None:
            log.keep_epoch_key(store, epoch.number, key)


def _brought(epoch: membership.Epoch, own: Device, vault_id: str) -> bytes | None:
    """Return the key that an epoch brings to this device, None if it brings none or another than it promised."""
    wrapped = epoch.wraps.get(own.device_id)
    if wrapped is None:
        return None
    try:
        key = epochs.unwrap(wrapped[1], own, vault=vault_id, epoch=epoch.number, suite=wrapped[0])
    except ForgedEntry:
        return None
    return key if epochs.commitment_of(key) == epoch.commitment else None


class _Ground:
    """The memberships that entries stand on: the vault's, or one that another has outranked since."""

    def __init__(self, store: Store) -> None:
        self._vault_id, self._own = store.vault_id, identity.own_device(store)
        self._keys = log.epoch_keys(store)
        self.chain = identity.own_chain(store)
        self._numbers = {entry.hash_of(one): at for at, one in enumerate(self.chain)}
        self._strays = {entry.hash_of(one): one for one in log.strays(store.database)}
        self._lost: dict[bytes, Membership | None] = {}
        self._opened: dict[bytes, bytes | None] = {}

    def under(self, header: Header) -> tuple[Membership, int] | None:
        """Return the membership in which an entry was written and the number of its newest entry; None if unknown."""
        number = self._numbers.get(header.membership)
        if number is not None:
            return _read(self.chain), number
        if header.membership not in self._lost:
            self._lost[header.membership] = self._rebuilt(header.membership)
        found = self._lost[header.membership]
        return (found, found.height) if found is not None else None

    def _rebuilt(self, head: bytes) -> Membership | None:
        tail: list[bytes] = []
        link: bytes | None = head
        while link is not None and link not in self._numbers:
            one = self._strays.get(link)
            if one is None or len(tail) > membership.MOST_ENTRIES:
                return None
            tail.append(one)
            link = membership.link_of(one)
        if link is None:
            return None
        try:
            return membership.read_chain((*self.chain[: self._numbers[link] + 1], *reversed(tail)))
        except DamagedVault:
            return None

    def key(self, found: Membership, number: int) -> bytes | None:
        """Return the key of an epoch of that membership, None if this device was not given it."""
        if number >= len(found.epochs):
            return None
        epoch = found.epochs[number]
        kept = self._keys.get(number)
        if kept is not None and epochs.commitment_of(kept) == epoch.commitment:
            return kept
        if epoch.commitment not in self._opened:
            self._opened[epoch.commitment] = _brought(epoch, self._own, self._vault_id)
        return self._opened[epoch.commitment]


def _advance(store: Store, now_ms: int, done: Received) -> None:
    """Apply what can be applied, until nothing more can."""
    db = store.database
    if not log.count_waiting(db):
        return
    ground = _Ground(store)
    queue: dict[str, list[Stored]] = {}
    for stored in log.waiting(db):
        queue.setdefault(stored.device, []).append(stored)
    heads = log.heads(db)
    moved = True
    while moved:
        moved = False
        for device, waiting in queue.items():
            while waiting:
                verdict = _try(store, waiting[0], ground, heads, now_ms, done)
                if verdict in (WAITING, PARKED):
                    break
                stored = waiting.pop(0)
                log.set_state(db, device, stored.seq, verdict)
                if verdict == APPLIED:
                    heads[device] = Head(stored.seq, stored.hash)
                moved = True


def _try(store: Store, stored: Stored, ground: _Ground, heads: Mapping[str, Head], now_ms: int, done: Received) -> str:
    """Apply one entry if it can be; returns its state."""
    header = entry.read_header(stored.body)
    found = _read(ground.chain)
    name = identity.device_names(store).get(header.device, header.device[:8])
    if _is_void(found, header.device, header.seq, header.hash):
        done.findings.append(Finding("revoked", f"{name} went on writing after it was revoked; that does not count"))
        return VOID
    head = heads.get(header.device)
    if header.seq != (head.seq + 1 if head else 1) or header.before != (head.hash if head else bytes(32)):
        if head is not None and header.seq == head.seq + 1:
            done.findings.append(Finding("fork", f"the log of {name} does not go on from its entry {head.seq}"))
        return WAITING
    stands = ground.under(header)
    key = ground.key(stands[0], header.epoch) if stands is not None else None
    if stands is None or key is None:
        return WAITING
    for device, seen in header.seen.items():
        if _is_void(found, device, seen.seq, seen.hash):
            continue
        known = log.hash_at(store.database, device, seen.seq)
        if known is not None and known != seen.hash:
            done.findings.append(
                Finding("fork", f"{name} has seen another history than this device: somebody shows two of them")
            )
            return WAITING
        if known is None or heads.get(device, Head(0, b"")).seq < seen.seq:
            return WAITING
    if header.epoch < max((one.number for one in stands[0].epochs if one.entry <= stands[1]), default=0):
        text = f"{name} sealed an entry with a key that was replaced before; a revoked device could have read it"
        done.findings.append(Finding("epoch", text))
        return WAITING
    if header.suite < _floor(*stands):
        done.findings.append(Finding("suite", f"{name} sealed an entry in a weaker way than this vault allows"))
        return WAITING
    if clock.is_ahead(header.hlc, now_ms):
        if stored.state != PARKED:
            log.set_state(store.database, header.device, header.seq, PARKED)
        done.findings.append(Finding("parked", f"the clock of {name} is more than a day ahead; its changes wait"))
        return PARKED
    try:
        ops = merge.decode_ops(entry.open_entry(stored.body, header, key))
        if any(op.hlc > header.hlc for op in ops):
            raise ForgedEntry(f"an entry of {name} holds changes that are later than itself")
    except KeyferryError as error:
        done.findings.append(Finding("forged", error.message))
        return WAITING
    _apply(store, header, ops, done)
    return APPLIED


def _is_void(found: Membership, device: str, seq: int, hash_: bytes) -> bool:
    """Tell whether an entry does not count: its device was revoked, and it is behind or beside the last that counts."""
    cut = _cut_of(found, device)
    return cut is not None and (seq > cut[0] or (seq == cut[0] and hash_ != cut[1]))


def _cut_of(found: Membership, device: str) -> tuple[int, bytes] | None:
    for one in found.revoked:
        if one.device_id == device:
            return one.last or (0, bytes(32))
    return None


def _floor(found: Membership, entry_number: int) -> int:
    """Return the weakest suite allowed by the epochs up to an entry of the chain; it only rises."""
    suites = [_weakest(epoch) for epoch in found.epochs if epoch.entry <= entry_number]
    return min(suites, default=entry.CLASSIC)


def _apply(store: Store, header: Header, ops: Sequence[merge.Op], done: Received | None) -> None:
    seen = {device: head.seq for device, head in header.seen.items()}
    for op in ops:
        before = _thing(store, op.kind, op.id)
        thing = merge.apply(before, op, device=header.device, seq=header.seq, seen=seen)
        _keep(store, op.kind, op.id, thing, None if before is None else _row_of(store, op.kind, op.id))
        if done is not None:
            done.changed[op.kind, op.id] = thing
            if thing.kept_against_delete:
                done.kept_against_delete.append(op.id)
    setting = log.setting(store)
    log.write_setting(store, msgspec.structs.replace(setting, hlc=max(setting.hlc, header.hlc)))


def _void_revoked(store: Store, done: Received) -> None:
    """Make void what a revoked device wrote after its last entry that counts, and undo it."""
    db = store.database
    found = _members(store)
    voided = False
    own = identity.own_device(store).device_id
    for one in found.revoked:
        if one.last is None or one.device_id == own:  # a device that is revoked keeps what it has
            continue
        beyond = "device = ? AND (seq > ? OR (seq = ? AND hash <> ?))"
        cut = (one.device_id, one.last[0], one.last[0], one.last[1])
        if db.value(f"SELECT count(*) FROM sync_entries WHERE state = 'applied' AND {beyond}", cut):  # noqa: S608
            db.do(f"UPDATE sync_entries SET state = 'void' WHERE {beyond}", cut)  # noqa: S608 - fixed text
            voided = True
    if voided:
        _rebuild(store, done)


def _rebuild(store: Store, done: Received) -> None:
    """Take all applied entries in again, in an order that respects what each has seen."""
    db, ground = store.database, _Ground(store)
    for kind, id_ in db.all("SELECT kind, id FROM sync_things"):
        done.changed[kind, id_] = None
    rows = {(kind, id_): row for kind, id_, row in db.all("SELECT kind, id, row FROM sync_things")}
    db.do("DELETE FROM sync_things")
    left: dict[str, list[Stored]] = {}
    for stored in log.applied(db):
        left.setdefault(stored.device, []).append(stored)
    at: dict[str, int] = {}
    void = dict(db.all("SELECT device, min(seq) FROM sync_entries WHERE state = 'void' GROUP BY device"))
    while any(left.values()):
        moved = False
        for device, waiting in left.items():
            while waiting:
                header = entry.read_header(waiting[0].body)
                ready = all(at.get(d, 0) >= min(h.seq, void.get(d, h.seq + 1) - 1) for d, h in header.seen.items())
                if not ready:
                    break
                ops = merge.decode_ops(entry.open_entry(waiting[0].body, header, _key_of(ground, header)))
                _apply(store, header, ops, None)
                at[device] = waiting.pop(0).seq
                moved = True
        if not moved:
            raise DamagedVault("the log of this vault is damaged", hint="restore a backup: keyferry restore")
    for (kind, id_), row in rows.items():
        if db.one("SELECT 1 FROM sync_things WHERE kind = ? AND id = ?", (kind, id_)) is not None:
            db.do("UPDATE sync_things SET row = ? WHERE kind = ? AND id = ?", (row, kind, id_))


def _key_of(ground: _Ground, header: Header) -> bytes:
    stands = ground.under(header)
    key = ground.key(stands[0], header.epoch) if stands is not None else None
    if key is None:
        raise DamagedVault("the log of this vault is damaged", hint="restore a backup: keyferry restore")
    return key


# -- between the log and the vault


def _write_vault(store: Store, done: Received) -> None:
    """Bring what changed in the log into the vault's own tables."""
    now = moment.now()
    found = [
        (kind, id_, thing if thing is not None else _thing(store, kind, id_))
        for (kind, id_), thing in done.changed.items()
    ]
    there = [(id_, thing, row) for kind, id_, thing in found if kind == ITEM and thing and (row := thing.row())]
    shown = [(id_, thing, item) for id_, thing, row in there if (item := _item(row, done)) is not None]
    store.put_many((item for _, _, item in shown), now)
    for id_, thing, _ in shown:
        for loser in thing.lost_rows():
            past = _item(loser, done)
            if past is not None:
                store.keep_past(id_, canonical.encode(past), now)
    for kind, id_, one in found:
        if kind != ITEM:
            try:
                _write_around(store, kind, id_, one.row() if one is not None else None)
            except (msgspec.MsgspecError, ValueError):
                done.findings.append(_UNREADABLE)
        elif one is None or not one.is_there:
            if store.row(id_) is not None:
                store.purge(id_)
            _keep_row(store, ITEM, id_, None)
    store.database.do_many(
        "UPDATE sync_things SET row = (SELECT body FROM items v WHERE v.id = sync_things.id)"
        " WHERE kind = 'item' AND id = ?",
        [(id_,) for id_, _, _ in shown],
    )


def _write_around(store: Store, kind: str, id_: str, row: dict[str, Any] | None) -> None:
    """Write what is no item."""
    if kind == COLLECTION:
        kept = _write_collection(store, id_, row)
    elif kind == EXTRAS:
        store.set_extras(id_, row or {})
        kept = store.database.value("SELECT body FROM extras WHERE format = ?", (id_,))
    elif kind == BLOB:
        kept = _want_blob(store, id_, row)
    else:  # a kind that this version does not know stays in the log
        kept = _write_name(store, id_, row) if kind == DEVICE else None
    _keep_row(store, kind, id_, kept)


def _item(row: dict[str, Any], done: Received) -> Item | None:
    """Return the item of a row; one that cannot be read stays in the log, and the vault keeps what it has."""
    try:
        return canonical.decode_item(canonical.encode(row))
    except (msgspec.MsgspecError, ValueError):
        done.findings.append(_UNREADABLE)
        return None


def _write_collection(store: Store, id_: str, row: dict[str, Any] | None) -> bytes | None:
    if row is None:
        store.remove_collection(id_)
        return None
    collection: Collection = canonical.decode_collection(canonical.encode(row))
    store.put_collection(collection)
    return canonical.encode(collection)


def _write_name(store: Store, id_: str, row: dict[str, Any] | None) -> bytes | None:
    name = (row or {}).get("name")
    if not isinstance(name, str):
        return None
    identity.name_device(store, id_, name)
    return canonical.encode({"name": identity.device_names(store)[id_]})


def _want_blob(store: Store, document: str, row: dict[str, Any] | None) -> bytes | None:
    """Note where an attachment can be got, if it is not here."""
    match row:
        case {"blob": str(blob), "epoch": int(epoch), "size": int(size)}:
            state = "there" if store.has_document(document) else "wanted"
            store.database.do(
                "INSERT OR REPLACE INTO sync_blobs (document, blob, size, epoch, state) VALUES (?, ?, ?, ?, ?)",
                (document, blob, size, epoch, state),
            )
            return canonical.encode(row)
    return None


def _thing(store: Store, kind: str, id_: str) -> merge.Thing | None:
    state = store.database.value("SELECT state FROM sync_things WHERE kind = ? AND id = ?", (kind, id_))
    return None if state is None else merge.decode(state)


def _row_of(store: Store, kind: str, id_: str) -> bytes | None:
    row: bytes | None = store.database.value("SELECT row FROM sync_things WHERE kind = ? AND id = ?", (kind, id_))
    return row


def _keep(store: Store, kind: str, id_: str, thing: merge.Thing, row: bytes | None) -> None:
    store.database.do(
        "INSERT OR REPLACE INTO sync_things (kind, id, row, state) VALUES (?, ?, ?, ?)",
        (kind, id_, row, merge.encode(thing)),
    )


def _keep_row(store: Store, kind: str, id_: str, row: bytes | None) -> None:
    store.database.do("UPDATE sync_things SET row = ? WHERE kind = ? AND id = ?", (row, kind, id_))


def titles(store: Store, ids: Iterable[str]) -> list[str]:
    """Return the titles of items, for people."""
    return [display_title(item) for one in ids if (item := store.item(one)) is not None]
