"""One round of sync: what was changed here goes out, what others have changed comes in.

What a relay shows is compared with what it has acknowledged before: less than that, or something else, is told and
stops the round before anything is believed. Nothing a relay shows or hides deletes anything here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import msgspec

from vault import crypto, identity, moment
from vault.errors import ForgedEntry, NotSynced, RelayMisbehaves, RelayUnreachable
from vault.kit import Kit
from vault.store import Store
from vault.sync import engine, log
from vault.sync.engine import ENTRY, MEMBER, Finding, Message, Received
from vault.sync.entry import Head
from vault.sync.travel import Heads, Transport

_MOST_BATCH = 900_000
_MOST_PARTS = 500
_BLOB = "keyferry sync blob 1"


class Round(msgspec.Struct):
    """What one round did."""

    sent: int = 0
    entries: int = 0
    items: int = 0
    findings: list[Finding] = []
    kept_against_delete: list[str] = []
    waiting: int = 0


def sync(
    store: Store, transport: Transport, now_ms: Callable[[], int], *, upload_again: bool = False, kit: Kit | None = None
) -> Round:
    """Bring this vault and the others together through a relay or a folder.

    With ``upload_again`` a relay that has lost everything gets it again; with ``kit`` a device that fell out of the
    membership, as it came from an old backup, is enrolled anew. Raises ``NotSynced``, ``RelayUnreachable``,
    ``RelayMisbehaves``; what was done until then stays done.
    """
    done = Round(findings=[], kept_against_delete=[])
    if not log.is_on(store):
        raise NotSynced("this vault is not synced", hint="keyferry device pair")
    if not transport.exists():
        _begin_there(store, transport, upload_again)
    _compare(store, transport.heads())
    if engine.is_member(store):
        _send_blobs(store, transport)
        engine.record(store, now_ms())
    _pull(store, transport, now_ms, done)
    if kit is not None:
        engine.enrol_anew(store, kit, moment.now())
        _add(done, engine.receive(store, (), now_ms()))  # what waited for the keys
    engine.check_member(store)
    _settle_restored(store, now_ms)
    _push(store, transport, done)
    _acknowledge(store, transport)
    done.waiting = len(log.waiting(store.database))
    return done


def _settle_restored(store: Store, now_ms: Callable[[], int]) -> None:
    """Of a vault that came back from a backup, what the others do not have goes out only now that theirs is known."""
    setting = log.setting(store)
    if setting.restored:
        with store.transaction():
            log.write_setting(store, msgspec.structs.replace(setting, restored=False))
            engine.record(store, now_ms())


def _begin_there(store: Store, transport: Transport, upload_again: bool) -> None:
    setting = log.setting(store)
    if setting.acknowledged and not upload_again:
        raise RelayMisbehaves(
            f"the {transport.name} no longer has this vault; nothing was changed here",
            hint="keyferry sync --upload-again gives it everything again",
        )
    with store.transaction():
        log.mark_unsent(store.database)
        log.write_setting(store, msgspec.structs.replace(setting, acknowledged={}, chain_sent=0, cursors={}))
    chain = identity.own_chain(store)
    transport.create(chain)
    with store.transaction():
        log.write_setting(store, msgspec.structs.replace(log.setting(store), chain_sent=len(chain)))


def _compare(store: Store, heads: Heads) -> None:
    """Check that nothing is missing that was there before (T2, T3), and that it is the same (T4)."""
    names = identity.device_names(store)
    for device, (seq, hash_) in log.setting(store).acknowledged.items():
        shown = heads.devices.get(device)
        name = names.get(device, device[:8])
        if shown is None or shown.seq < seq:
            raise RelayMisbehaves(
                f"it shows less than before: {seq} entries of {name} were there, now "
                f"{shown.seq if shown else 0}; nothing was changed here",
                hint="it may have been put back to an older state; ask its owner, or sync through a folder",
            )
        if shown.seq == seq and shown.hash != bytes.fromhex(hash_):
            raise RelayMisbehaves(
                f"it shows another history of {name} than before; nothing was changed here",
                hint="do not trust this relay; sync through a folder or another relay",
            )


def _pull(store: Store, transport: Transport, now_ms: Callable[[], int], done: Round) -> None:
    while True:
        cursor = log.setting(store).cursors.get(transport.name, "")
        page = transport.pull(cursor)
        received = engine.receive(store, page.messages, now_ms())
        _add(done, received)
        _fetch_blobs(store, transport, done)
        with store.transaction():
            setting = log.setting(store)
            cursors = {**setting.cursors, transport.name: page.cursor}
            log.write_setting(store, msgspec.structs.replace(setting, cursors=cursors))
        if not page.more:
            return
        if page.cursor == cursor:
            raise RelayMisbehaves("it says that there is more and does not give it", hint="try again later")


def _add(done: Round, received: Received) -> None:
    done.entries += received.entries
    done.items += sum(kind == engine.ITEM for kind, _ in received.changed)
    known = {(one.kind, one.text) for one in done.findings}
    done.findings += [one for one in received.findings if (one.kind, one.text) not in known]
    done.kept_against_delete += received.kept_against_delete


def _push(store: Store, transport: Transport, done: Round) -> None:
    """Send what nobody has acknowledged; what another process appends meanwhile goes with the next round."""
    own = identity.own_device(store).device_id
    setting = log.setting(store)
    members = [(MEMBER, one) for one in identity.own_chain(store)[setting.chain_sent :]]
    unsent = log.unsent(store.database, own)
    for batch in _batches([*members, *((ENTRY, one.body) for one in unsent)]):
        transport.push(batch)
        done.sent += sum(kind == ENTRY for kind, _ in batch)
    with store.transaction():
        log.mark_sent(store.database, unsent)
        fresh = log.setting(store)
        sent = setting.chain_sent + len(members)
        log.write_setting(store, msgspec.structs.replace(fresh, chain_sent=sent, synced_at=moment.now()))


def _batches(messages: Iterable[Message]) -> list[list[Message]]:
    found: list[list[Message]] = []
    size = 0
    for message in messages:
        length = len(message[1]) + 32
        if not found or size + length > _MOST_BATCH or len(found[-1]) >= _MOST_PARTS:
            found.append([])
            size = 0
        found[-1].append(message)
        size += length
    return found


def _acknowledge(store: Store, transport: Transport) -> None:
    """Remember what is there now: never less than before may be shown from here on."""
    here = log.heads(store.database)
    shown = transport.heads().devices
    seen = {device: head for device, head in shown.items() if _is_known(store, device, head)}
    with store.transaction():
        setting = log.setting(store)
        acknowledged = {
            device: (head.seq, head.hash.hex()) for device, head in {**here, **seen}.items() if device in shown
        }
        log.write_setting(store, msgspec.structs.replace(setting, acknowledged=acknowledged))


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


def _send_blobs(store: Store, transport: Transport) -> None:
    """Give the attachments that were not sent yet, before the entries that name them."""
    db, keys = store.database, log.epoch_keys(store)
    if not keys:
        return
    epoch = max(keys)
    known = {name for (name,) in db.all("SELECT document FROM sync_blobs WHERE state = 'there'")}
    for document in store.documents():
        if document in known:
            continue
        data = store.document(document)
        if data is None:
            continue
        name, sealed = blob_of(keys[epoch], document, data)
        transport.put_blob(name, sealed)
        with store.transaction():
            db.do(
                "INSERT OR REPLACE INTO sync_blobs (document, blob, size, epoch, state) VALUES (?, ?, ?, ?, 'there')",
                (document, name, len(data), epoch),
            )


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
                continue
            if hashlib.sha256(sealed).hexdigest() != name:
                raise ForgedEntry("an attachment was altered on its way", hint="sync again, or through another way")
            data = open_blob(keys[epoch], document, sealed)
        except (ForgedEntry, RelayUnreachable) as error:
            done.findings.append(Finding("forged", error.message))
            continue
        with store.transaction():
            if store.put_document(data) == document:
                db.do("UPDATE sync_blobs SET state = 'there' WHERE document = ?", (document,))
