"""One round of sync: what was changed here goes out, what others have changed comes in.

What a relay shows is compared with what it has acknowledged before: less than that, or something else, is told and
stops the round before anything is believed. Nothing a relay shows or hides deletes anything here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from vault import crypto, identity, moment
from vault.errors import ForgedEntry, NotSynced, RelayMisbehaves, RelayUnreachable
from vault.kit import Kit
from vault.store import Store
from vault.sync import appending, belonging, engine, entry, log, recording, restored, snapshots, things, withholding
from vault.sync.entry import Head
from vault.sync.log import Stored
from vault.sync.received import Finding, Received
from vault.sync.standing import Ground
from vault.sync.travel import ENTRY, MEMBER, Heads, Message, Transport

_MOST_BATCH = 900_000
_MOST_PARTS = 500
_BLOB = "keyferry sync blob 1"
MOST_ATTACHMENT = (64 << 20) - 16


class Round(msgspec.Struct):
    """What one round did; ``wanted`` counts attachments that have not come, ``ignored`` strange files in a folder."""

    sent: int = 0
    entries: int = 0
    items: int = 0
    findings: list[Finding] = []
    kept_against_delete: list[str] = []
    waiting: int = 0
    wanted: int = 0
    ignored: int = 0


def sync(
    store: Store,
    transport: Transport,
    now_ms: Callable[[], int],
    *,
    upload_again: bool = False,
    kit: Kit | None = None,
    compact: bool = False,
) -> Round:
    """Bring this vault and the others together through a relay or a folder.

    With ``upload_again`` a place that has lost something gets it again; with ``kit`` a device that fell out of the
    membership, as it came from an old backup, is enrolled anew; with ``compact`` a snapshot of the log is made now.
    Raises ``NotSynced``, ``RelayUnreachable``, ``RelayMisbehaves``; what was done until then stays done.
    """
    done = Round(findings=[], kept_against_delete=[])
    if not log.is_on(store):
        raise NotSynced("this vault is not synced", hint="keyferry device pair")
    with store.transaction():
        log.begin(store)
    if not transport.exists():
        _begin_there(store, transport, upload_again)
    heads = transport.heads()
    if upload_again:
        _forget_place(store, transport, heads)
        heads = Heads(0, b"", {})
    _compare(store, transport, heads)
    if belonging.is_member(store):
        _send_blobs(store, transport, done)
    pulled = _pull(store, transport, now_ms, done)
    is_folder = getattr(transport, "is_folder", False)  # where files come in any order, and sometimes half
    if not is_folder and withholding.findings(store, transport.name, heads):
        # What was altered or left out the last time, or could not be read, is not given twice unless it is asked for.
        _read_from_the_start(store, transport)
        pulled |= _pull(store, transport, now_ms, done)
        if withheld := withholding.findings(store, transport.name, heads):
            done.findings += withheld
            _read_from_the_start(store, transport)
    if kit is not None:
        belonging.enrol_anew(store, kit, moment.now())
        _add(done, engine.receive(store, (), now_ms()))  # what waited for the keys
    belonging.check_member(store)
    appending.check_own(store)
    _settle_restored(store, now_ms)
    if identity.distinguish(store):
        recording.record(store, now_ms())
    recording.keep_up(store, now_ms(), compact=compact)
    _push(store, transport, heads, pulled, done)
    _acknowledge(store, transport)
    _shorten(store, transport, now_ms())
    done.waiting = log.count_waiting(store.database)
    done.wanted = _wanted(store)
    done.ignored = getattr(transport, "ignored", 0)
    return done


def _shorten(store: Store, transport: Transport, now_ms: int) -> None:
    """Drop entries that a snapshot stands for: there as soon as the place has it whole, here after 90 days."""
    one = snapshots.newest(store)
    there = {device: seq for device, (seq, _) in log.place(store, transport.name).acknowledged.items()}
    if one is not None:
        numbers = {device: head.seq for device, head in one.cut.items()}
        whole = {**numbers, one.device: one.end}
        if all(there.get(device, 0) >= number for device, number in whole.items()):
            transport.drop(numbers)
    snapshots.compact(store, now_ms)


def _read_from_the_start(store: Store, transport: Transport) -> None:
    with store.transaction():
        place = log.place(store, transport.name)
        log.write_place(store, transport.name, msgspec.structs.replace(place, cursor=""))


def _settle_restored(store: Store, now_ms: Callable[[], int]) -> None:
    """Of a vault that came back from a backup, what the others do not have goes out only now that theirs is known."""
    setting = log.setting(store)
    if setting.restored:
        with store.transaction():
            log.write_setting(store, msgspec.structs.replace(setting, restored=False))
            recording.record(store, now_ms())
            restored.drop_base(store)


def _begin_there(store: Store, transport: Transport, upload_again: bool) -> None:
    if log.place(store, transport.name).acknowledged and not upload_again:
        raise RelayMisbehaves(
            f"the {transport.name} no longer has this vault; nothing was changed here",
            hint="keyferry sync --upload-again gives it everything again",
        )
    _forget_place(store, transport, Heads(0, b"", {}))
    transport.create(identity.own_chain(store))


def _forget_place(store: Store, transport: Transport, heads: Heads) -> None:
    """Take what a place has now for all that it ever had; another history than before is not forgiven."""
    _compare(store, transport, heads, may_have_less=True)
    with store.transaction():
        log.forget_given(store.database, transport.name)
        log.write_place(store, transport.name, log.Place())


def _compare(store: Store, transport: Transport, heads: Heads, *, may_have_less: bool = False) -> None:
    """Check that nothing is missing that was there before (T2, T3), and that it is the same (T4)."""
    names, place = identity.device_names(store), log.place(store, transport.name)
    for device, (seq, hash_) in place.acknowledged.items():
        shown = heads.devices.get(device)
        name = names.get(device, device[:8])
        if (shown is None or shown.seq < seq) and not may_have_less:
            raise RelayMisbehaves(
                f"the {transport.name} shows less than before: {seq} entries of {name} were there, now "
                f"{shown.seq if shown else 0}; nothing was changed here",
                hint="it may have been put back to an older state; keyferry sync --upload-again gives it what it lacks",
            )
        if shown is not None and shown.seq == seq and shown.hash != bytes.fromhex(hash_):
            raise RelayMisbehaves(
                f"the {transport.name} shows another history of {name} than before; nothing was changed here",
                hint="do not trust it; sync through a folder or another relay",
            )
    at = _positions(store)
    if not may_have_less and at.get(heads.membership, len(at)) < at.get(bytes.fromhex(place.members), 0):
        raise RelayMisbehaves(
            f"the {transport.name} shows fewer changes of this vault's devices than before; nothing was changed here",
            hint="it may have been put back to an older state; keyferry sync --upload-again gives it what it lacks",
        )


def _positions(store: Store) -> dict[bytes, int]:
    """Return the places of membership entries in the chain by their hashes."""
    return {hashlib.sha256(one).digest(): at for at, one in enumerate(identity.own_chain(store))}


def _pull(store: Store, transport: Transport, now_ms: Callable[[], int], done: Round) -> set[bytes]:
    """Take in what is new there; returns the hashes of all messages that came."""
    came: set[bytes] = set()
    cursors: set[str] = set()
    while True:
        cursor = log.place(store, transport.name).cursor
        cursors.add(cursor)
        page = transport.pull(cursor)
        came.update(hashlib.sha256(data).digest() for _, data in page.messages)
        _add(done, engine.receive(store, page.messages, now_ms()))
        _fetch_blobs(store, transport, done)
        with store.transaction():
            place = log.place(store, transport.name)
            log.write_place(store, transport.name, msgspec.structs.replace(place, cursor=page.cursor))
        if not page.more:
            return came
        if page.cursor in cursors or not page.messages:
            raise RelayMisbehaves("it says that there is more and does not give it", hint="try again later")


def _add(done: Round, received: Received) -> None:
    done.entries += received.entries
    done.items += sum(kind == things.ITEM for kind, _ in received.changed)
    known = {(one.kind, one.text) for one in done.findings}
    done.findings += [one for one in received.findings if (one.kind, one.text) not in known]
    done.kept_against_delete += received.kept_against_delete


def _push(store: Store, transport: Transport, heads: Heads, pulled: set[bytes], done: Round) -> None:
    """Give the place what it does not have, of all devices: perhaps others can reach it only this way."""
    own = identity.own_device(store).device_id
    members = [(MEMBER, one) for one in _members_lacking(store, transport, heads, pulled)]
    entries = _on_their_lists(store, transport, pulled, _lacking(store, transport, heads, pulled))
    chain = set(identity.own_chain(store))
    for batch in _batches([*members, *entries]):
        transport.push(batch)
        with store.transaction():
            for data in (data for kind, data in batch if kind == MEMBER and data not in chain):
                log.note_given(store.database, transport.name, entry.hash_of(data).hex())
        done.sent += sum(kind == ENTRY and entry.read_header(data).device == own for kind, data in batch)
    base = log.setting(store).base
    if base is not None:
        transport.drop(base.cut)  # what is before would stand behind a gap
    with store.transaction():
        log.write_setting(store, msgspec.structs.replace(log.setting(store), synced_at=moment.now()))


def _members_lacking(store: Store, transport: Transport, heads: Heads, pulled: set[bytes]) -> list[bytes]:
    chain, at = identity.own_chain(store), _positions(store)
    known = (heads.membership, bytes.fromhex(log.place(store, transport.name).members))
    there = max((at[one] for one in known if one in at), default=-1)
    lost = log.strays(store.database) if getattr(transport, "is_folder", False) else []  # entries may stand on them
    return [one for one in (*chain[there + 1 :], *lost) if hashlib.sha256(one).digest() not in pulled]


def _on_their_lists(
    store: Store, transport: Transport, pulled: set[bytes], lacking: Iterable[Stored]
) -> Iterator[Message]:
    """Yield entries, each behind the lists that lost on which it stands, as far as the place was not given them."""
    ground, given = Ground(store), set(pulled)
    for stored in lacking:
        for one in ground.tail(entry.read_header(stored.body)):
            hash_ = entry.hash_of(one)
            if hash_ not in given and not log.is_given(store.database, transport.name, hash_.hex()):
                yield MEMBER, one
            given.add(hash_)
        yield ENTRY, stored.body


def _lacking(store: Store, transport: Transport, heads: Heads, pulled: set[bytes]) -> Iterator[Stored]:
    acknowledged = log.place(store, transport.name).acknowledged
    first, settled = _base_device(store), snapshots.settled_numbers(store)
    for device in sorted(log.heads(store.database), key=lambda one: (one != first, one)):
        begins: int = getattr(transport, "begins", {}).get(device, 1)  # what a folder has of it begins there
        shown = heads.devices.get(device)
        if shown is None or not _is_known(store, device, shown):
            start = max(acknowledged.get(device, (0, ""))[0], begins - 1)
        elif begins > max(1, settled.get(device, 0)):  # and no snapshot stands for what is before
            start = 0
        else:
            start = shown.seq
        begin = log.begins(store).get(device, 0)
        if start < begin - 1:  # there it goes on with the snapshot, or with the last of what that has seen
            start = begin - (device != first)
        for stored in log.after(store.database, device, start):
            if stored.body and stored.hash not in pulled:
                yield stored


def _base_device(store: Store) -> str:
    base = log.setting(store).base
    return base.device if base is not None else ""


def _batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        length = len(message[1]) + 32
        if batch and (size + length > _MOST_BATCH or len(batch) >= _MOST_PARTS):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch


def _acknowledge(store: Store, transport: Transport) -> None:
    """Remember what is there now: never less than before may be shown from here on."""
    here, heads = log.heads(store.database), transport.heads()
    _check_taken(store, here, heads)
    seen = {device: head for device, head in heads.devices.items() if _is_known(store, device, head)}
    own = identity.own_device(store).device_id  # what a place has of its log and is not here, this one never told it
    shown = {**{device: head for device, head in here.items() if device in heads.devices and device != own}, **seen}
    is_ours = heads.membership in _positions(store)
    with store.transaction():
        place = log.place(store, transport.name)
        acknowledged = dict(place.acknowledged)
        for device, head in shown.items():
            if head.seq >= acknowledged.get(device, (0, ""))[0]:
                acknowledged[device] = (head.seq, head.hash.hex())
        fresh = log.Place(
            cursor=place.cursor,
            acknowledged=acknowledged,
            members=heads.membership.hex() if is_ours else place.members,
        )
        log.write_place(store, transport.name, fresh)


def _check_taken(store: Store, here: Mapping[str, Head], heads: Heads) -> None:
    """Check that what this device gave is shown; raises ``RelayMisbehaves``."""
    own = identity.own_device(store).device_id
    shown = heads.devices.get(own)
    if own in here and (shown is None or shown.seq < here[own].seq):
        raise RelayMisbehaves(
            "it has taken what this device sent and does not show it; nothing is lost here",
            hint="sync again; if it stays so, through a folder or another relay",
        )


def _is_known(store: Store, device: str, head: Head) -> bool:
    return log.hash_at(store.database, device, head.seq) == head.hash


# -- attachments travel as blobs of their own, sealed under a key that follows from the epoch's and their address


def blob_of(key: bytes, document: str, data: bytes) -> tuple[str, bytes]:
    """Return the name and the bytes of a sealed attachment; the same for everybody who seals it in the same epoch."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

    sealing = crypto.derive(key, f"{_BLOB} {document}")
    sealed = AESGCMSIV(sealing).encrypt(bytes(12), data, document.encode())
    return hashlib.sha256(sealed).hexdigest(), sealed


def open_blob(key: bytes, document: str, sealed: bytes) -> bytes:
    """Return the attachment; raises ``ForgedEntry``."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

    try:
        return AESGCMSIV(crypto.derive(key, f"{_BLOB} {document}")).decrypt(bytes(12), sealed, document.encode())
    except InvalidTag:
        raise ForgedEntry("an attachment was altered on its way", hint="sync again, or through another way") from None


def _send_blobs(store: Store, transport: Transport, done: Round) -> None:
    """Give the attachments that this place was not given yet, before the entries that name them."""
    db, keys = store.database, log.epoch_keys(store)
    if not keys:
        return
    known = {
        document: (blob, epoch)
        for document, blob, epoch in db.all("SELECT document, blob, epoch FROM sync_blobs WHERE state = 'there'")
    }
    for document in store.documents():
        blob, epoch = known.get(document, ("", max(keys)))
        if (blob and log.is_given(db, transport.name, blob)) or epoch not in keys:
            continue
        data = store.document(document)
        if data is None:
            continue
        if len(data) > MOST_ATTACHMENT:
            done.findings.append(
                Finding("large", "an attachment is larger than 64 MB and stays on this device", "backups hold it")
            )
            continue
        name, sealed = blob_of(keys[epoch], document, data)
        transport.put_blob(name, sealed)
        with store.transaction():
            log.note_given(db, transport.name, name)
            if document not in known:
                db.do(
                    "INSERT OR REPLACE INTO sync_blobs (document, blob, size, epoch, state)"
                    " VALUES (?, ?, ?, ?, 'there')",
                    (document, name, len(data), epoch),
                )


def _tell_lacking(transport: Transport, done: Round) -> None:
    """Tell of a relay, which was given attachments before the entries that name them, that it lacks one."""
    told = Finding(
        "withheld",
        f"the {transport.name} does not give an attachment that an entry names",
        "sync on the device that added it, then here",
    )
    if not getattr(transport, "is_folder", False) and told not in done.findings:
        done.findings.append(told)


def _wanted(store: Store) -> int:
    """Return how many attachments entries name that are not here."""
    return int(store.database.value("SELECT count(*) FROM sync_blobs WHERE state = 'wanted'"))


def _fetch_blobs(store: Store, transport: Transport, done: Round) -> None:
    """Get the attachments that entries name and that are not here."""
    db, keys = store.database, log.epoch_keys(store)
    sql = "SELECT document, blob, epoch FROM sync_blobs WHERE state = 'wanted'"
    for document, name, epoch in db.all(sql):
        if epoch not in keys:
            continue
        try:
            sealed = transport.get_blob(name)
            if sealed is None:
                _tell_lacking(transport, done)
                continue
            if hashlib.sha256(sealed).hexdigest() != name:
                raise ForgedEntry("an attachment was altered on its way", hint="sync again, or through another way")
            data = open_blob(keys[epoch], document, sealed)
        except (ForgedEntry, RelayUnreachable) as error:
            done.findings.append(Finding("forged", error.message, error.hint))
            continue
        with store.transaction():
            if store.put_document(data) == document:
                db.do("UPDATE sync_blobs SET state = 'there' WHERE document = ?", (document,))
                log.note_given(db, transport.name, name)
