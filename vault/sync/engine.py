"""Turning entries that arrive into changes; nothing here knows how they travel.

The order of checks for an entry that arrives: size and form, membership and signature, chain of its device, suite,
clock, what it has seen, commitment, seal, content. Whatever fails before the seal changes nothing but the list of
findings. An entry is applied when everything it has seen is; entries of a revoked device after the last that counts are
void, and what they did is undone by taking all others in again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from vault import canonical, identity, membership, moment, newkit
from vault.errors import ForgedEntry, KeyferryError
from vault.store import Store
from vault.sync import (
    belonging,
    clock,
    entry,
    log,
    merge,
    recording,
    replaying,
    restored,
    snapshots,
    things,
    writing,
)
from vault.sync.entry import Head, Header
from vault.sync.log import APPLIED, PARKED, VOID, WAITING, Stored
from vault.sync.received import Finding, Received
from vault.sync.standing import Counting, Ground, floor
from vault.sync.travel import ENTRY, MEMBER, Message

_MOST_WAITING = 100_000
_MOST_STRAYS = 4096


def receive(store: Store, messages: Iterable[Message], now_ms: int) -> Received:
    """Check, keep and apply what arrived, in one transaction.

    Who belongs to the vault comes first: what was changed here meanwhile is then recorded under the list that counts,
    and before anything of others is applied, so that it is not taken for what they overwrite. On a device that does
    not belong to the vault entries are only kept.
    """
    done = Received(changed={}, findings=[], kept_against_delete=[], applied={})
    arrived = list(messages)
    with store.transaction(), canonical.many():
        _take_each((one for one in arrived if one[0] == MEMBER), partial(_take_member, store), done)
        belonging.learn_keys(store)
        newkit.settle(store, moment.now())
        if belonging.is_member(store):
            recording.record(store, now_ms)
            _judge(store, done)
        if entries := [one for one in arrived if one[0] == ENTRY]:
            _take_each(entries, partial(_take_entry, store, Ground(store)), done)
        if belonging.is_member(store):
            edits = restored.edits(store)
            _advance(store, now_ms, done)
            if _judge(store, done):
                _advance(store, now_ms, done)
            if _is_late(store, done.applied):
                _rebuild(store, done)
            belonging.bring_lost(store, moment.now())
            writing.write_vault(store, done)
            restored.reapply(store, (one for one in edits if (one.kind, one.id) in done.changed), moment.now())
    return done


def _take_each(messages: Iterable[Message], take: Callable[[bytes, Received], None], done: Received) -> None:
    for _, data in messages:
        try:
            take(data, done)
        except ForgedEntry as error:
            done.findings.append(Finding("forged", error.message, error.hint))


def _take_member(store: Store, data: bytes, done: Received) -> None:
    """Take a membership entry: the next of the chain, one that waits for it, or one of a chain that stands above."""
    chain = identity.own_chain(store)
    db, hash_ = store.database, entry.hash_of(data)
    if data in chain or log.has_stray(db, hash_):
        return
    try:
        membership.link_of(data)
    except ValueError:
        if membership.is_of_other_version(data):
            raise ForgedEntry("a membership entry is of another version of Keyferry", hint="update Keyferry") from None
        raise ForgedEntry("a membership entry is not built as they are") from None
    strays = [*log.strays(db), data]
    if len(strays) > _MOST_STRAYS:
        raise ForgedEntry("too many membership entries wait for others")
    log.keep_stray(db, hash_, data)
    longer = belonging.grown(chain, strays)
    if longer != chain:
        identity.write_membership(store, longer)
        for one in set(chain) - set(longer):
            log.keep_stray(db, entry.hash_of(one), one)  # what goes on from there may yet stand above
        log.drop_strays(db, [entry.hash_of(one) for one in longer])
        done.members += 1
        if not membership.is_prefix(chain, longer):
            _note_parted(store)
            _keep_lost(store, chain)
            done.findings.append(
                Finding(
                    "fork",
                    "two devices changed who belongs to the vault at once; the senior one's word counts",
                    "keyferry device list shows who belongs to it now",
                )
            )


def _copied(name: str) -> str:
    """Return what to do about a device that writes in the place of what it has written."""
    return f"was it put back from a copy? export what only it has, keyferry device revoke {name}, then join it anew"


def _keep_lost(store: Store, before: tuple[bytes, ...]) -> None:
    """Keep the keys of epochs that only the list which has just lost has, where entries count that need them."""
    ground = Ground(store)
    known = {one.commitment for one in belonging.read(ground.chain).epochs}
    lost = {one.number for one in belonging.read(before).epochs if one.commitment not in known}
    for stored in log.applied(store) if lost else ():
        header = entry.read_header(stored.body)
        if header.epoch in lost:
            ground.keep_lost(store, header)


def _take_entry(store: Store, ground: Ground, data: bytes, done: Received) -> None:
    """Keep an entry whose device and signature hold."""
    header = entry.read_header(data)
    if header.vault != store.vault_id:
        raise ForgedEntry("an entry of another vault was sent")
    db = store.database
    known = log.hash_at(db, header.device, header.seq)
    if known is None and header.seq <= log.begins(store).get(header.device, 0):
        return  # a snapshot stands for it
    if known is not None:
        if known != header.hash:
            _check_origin(store, ground, header)
            name = identity.device_names(store).get(header.device, header.device[:8])
            done.findings.append(
                Finding(
                    "fork", f"there are two entries number {header.seq} of {name}: its log was forked", _copied(name)
                )
            )
        return
    _check_origin(store, ground, header)
    if log.count_waiting(db) >= _MOST_WAITING:
        raise ForgedEntry("too many entries wait for others")
    log.put(db, Stored(header.device, header.seq, header.hash, WAITING, data))
    done.entries += 1


def _check_origin(store: Store, ground: Ground, header: Header) -> None:
    found = belonging.members_of(store)
    for one in (*found.members, *found.revoked):
        if one.device_id == header.device:
            entry.check_signature(header, one.bundle.ed25519)
            return
    stranger = ground.member(header)
    if stranger is not None:
        entry.check_signature(header, stranger.bundle.ed25519)
        return
    raise ForgedEntry("an entry of a device that does not belong to the vault was sent")


def _advance(store: Store, now_ms: int, done: Received) -> None:
    """Apply what can be applied, until nothing more can."""
    db = store.database
    if not log.count_waiting(db):
        return
    ground = Ground(store)
    if snapshots.adopt(store, ground, now_ms, done):
        _rebuild(store, done)
    counting = _counting(store)
    queue: dict[str, list[Stored]] = {}
    for stored in log.waiting(db):
        queue.setdefault(stored.device, []).append(stored)
    heads, watch = log.heads(db), snapshots.Watch(store)
    moved = True
    while moved:
        moved = False
        for device, waiting in queue.items():
            while waiting:
                verdict = _try(store, waiting[0], ground, counting, heads, now_ms, done)
                if verdict in (WAITING, PARKED):
                    break
                stored = waiting.pop(0)
                log.set_state(db, device, stored.seq, verdict)
                if verdict == APPLIED:
                    heads[device] = Head(stored.seq, stored.hash)
                    done.applied.setdefault(device, stored.seq)
                    watch.see(entry.read_header(stored.body))
                moved = True
    for one in watch.settle():
        snapshots.check(store, ground, counting, one, done)


def _counting(store: Store) -> Counting:
    return Counting(store, snapshots.settled_numbers(store))


def _try(
    store: Store,
    stored: Stored,
    ground: Ground,
    counting: Counting,
    heads: Mapping[str, Head],
    now_ms: int,
    done: Received,
) -> str:
    """Apply one entry if it can be; returns its state."""
    header = entry.read_header(stored.body)
    name = identity.device_names(store).get(header.device, header.device[:8])
    if counting.is_void(header.device, header.seq, header.hash):
        text = f"{name} went on writing after it was revoked; that does not count"
        if counting.is_stranger(header.device):
            text = f"{name} was let in by a list of devices that lost; what it writes counts when it joins again"
        done.findings.append(Finding("revoked", text))
        return VOID
    head = heads.get(header.device)
    if header.seq != (head.seq + 1 if head else 1) or header.before != (head.hash if head else bytes(32)):
        if head is not None and header.seq == head.seq + 1:
            text = f"the log of {name} does not go on from its entry {head.seq}"
            done.findings.append(Finding("fork", text, _copied(name)))
        return WAITING
    stands = ground.under(header)
    key = ground.key(stands[0], header.epoch) if stands is not None else None
    if stands is None or key is None:
        return WAITING
    for device, seen in header.seen.items():
        number = counting.needed(device, seen.seq, seen.hash)
        known = log.hash_at(store.database, device, seen.seq) if number == seen.seq else None
        if known is not None and known != seen.hash:
            done.findings.append(
                Finding(
                    "fork",
                    f"{name} has seen another history than this device: somebody shows two of them",
                    f"sync both devices through a folder or another relay; if it stays so: {_copied(name)}",
                )
            )
            return WAITING
        if heads.get(device, Head(0, b"")).seq < number:
            return WAITING
    if header.epoch < max((one.number for one in stands[0].epochs if one.entry <= stands[1]), default=0):
        text = f"{name} sealed an entry with a key that was replaced before; a revoked device could have read it"
        done.findings.append(Finding("epoch", text, f"sync on {name} once more, then here"))
        return WAITING
    if header.suite < floor(*stands):
        text = f"{name} sealed an entry in a weaker way than this vault allows"
        done.findings.append(Finding("suite", text, f"update Keyferry on {name}; if it is new, revoke that device"))
        return WAITING
    if clock.is_ahead(header.hlc, now_ms):
        if stored.state == WAITING:
            log.set_state(store.database, header.device, header.seq, PARKED)
        text = f"the clock of {name} is more than a day ahead; its changes wait"
        done.findings.append(Finding("parked", text, f"set the clock of {name} right"))
        return PARKED
    try:
        ops = merge.decode_ops(entry.open_entry(stored.body, header, key))
        if any(op.hlc > header.hlc for op in ops):
            raise ForgedEntry(f"an entry of {name} holds changes that are later than itself")
    except KeyferryError as error:
        done.findings.append(Finding("forged", error.message, error.hint))
        return WAITING
    _apply(store, header, ops, done)
    ground.keep_lost(store, header)
    return APPLIED


def _apply(store: Store, header: Header, ops: Sequence[merge.Op], done: Received | None) -> None:
    seen = {device: head.seq for device, head in header.seen.items()}
    for op in ops:
        before = things.thing(store, op.kind, op.id)
        thing = merge.apply(before, op, device=header.device, seq=header.seq, seen=seen)
        things.keep(store, op.kind, op.id, thing, None if before is None else things.row_of(store, op.kind, op.id))
        if done is not None:
            done.changed[op.kind, op.id] = thing
            if thing.kept_against_delete:
                done.kept_against_delete.append(op.id)
    setting = log.setting(store)
    log.write_setting(store, msgspec.structs.replace(setting, hlc=max(setting.hlc, header.hlc)))


def _judge(store: Store, done: Received) -> bool:
    """Let count what counts now: what was void and is not waits to be taken in, what is void is undone.

    The latter by taking all others in again. Tells whether anything was changed.
    """
    db, counting, own = store.database, _counting(store), identity.own_device(store).device_id
    is_changed = False
    for stored in log.void(db):
        if not counting.is_void(stored.device, stored.seq, stored.hash):
            log.set_state(db, stored.device, stored.seq, WAITING)
            _note_parted(store)
            is_changed = True
    is_voided = False
    for device in log.heads(db).keys() - {own}:  # a device that is revoked keeps what it has
        last = counting.last(device)
        for seq, hash_ in log.numbers(db, device, last[0]) if last is not None else ():
            if counting.is_void(device, seq, hash_):
                log.set_state(db, device, seq, VOID)
                is_voided = True
    if is_voided:
        _rebuild(store, done)
    return is_changed or is_voided


def _note_parted(store: Store) -> None:
    log.write_setting(store, msgspec.structs.replace(log.setting(store), parted=True))


def _is_late(store: Store, applied: Mapping[str, int]) -> bool:
    """Tell whether something was applied now that an entry has seen which was applied before: it did not count then."""
    if not applied or not log.setting(store).parted:
        return False
    headers = (entry.read_header(stored.body) for stored in log.applied(store))
    before = (one for one in headers if one.seq < applied.get(one.device, one.seq + 1))
    return any(head.seq >= applied.get(device, head.seq + 1) for one in before for device, head in one.seen.items())


def _rebuild(store: Store, done: Received) -> None:
    """Take all applied entries in again, in an order that respects what each has seen."""
    db, ground = store.database, Ground(store)
    rows = {(kind, id_): row for kind, id_, row in db.all("SELECT kind, id, row FROM sync_things")}
    done.changed.update(dict.fromkeys(rows))
    db.do("DELETE FROM sync_things")
    for state in replaying.base_states(store, ground):
        thing = merge.decode(state)
        things.keep(store, thing.kind, thing.id, thing, None)
        done.changed[thing.kind, thing.id] = None
    for header, ops in replaying.in_order(store, ground, _counting(store)):
        _apply(store, header, ops, None)
    for (kind, id_), row in rows.items():
        if db.one("SELECT 1 FROM sync_things WHERE kind = ? AND id = ?", (kind, id_)) is not None:
            db.do("UPDATE sync_things SET row = ? WHERE kind = ? AND id = ?", (row, kind, id_))
