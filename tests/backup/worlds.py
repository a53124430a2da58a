"""Quick worlds for tests of backups: devices, kits, chains, sets of any content, vaults that have lived.

A set made here is byte for byte as Keyferry makes them, but whatever is in it can be chosen: who signs, what the
manifest says, what the parts hold.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from backup import payload, sealing, targets
from backup.payload import Counts, Gathered, Link, Manifest, Part, Recipient, TargetList
from backup.reading import Opener
from tests.migrate.terminal import Terminal
from vault import cxf, device, listmaking, membership, statement
from vault.device import Device, new_device
from vault.kit import Kit
from vault.kitcare import store_root
from vault.model import BasicAuth, Collection, File, Item, Note, Vault, concealed
from vault.rows import document_name
from vault.secret import Secret
from vault.store import Run, Store

AT = "2026-11-20T10:00:00Z"
NOW = "2026-11-23T09:00:00Z"
KEY = bytes(32)
_numbers = itertools.count(1)


@cache
def a_device(name: str) -> Device:
    """Return the private keys of the device of that name, the same for the whole run: RSA keys take time."""
    return new_device()


@cache
def a_kit(name: str = "kit") -> Kit:
    """Return the kit of that name, the same in every run."""
    return Kit(hashlib.sha256(f"test kit {name}".encode()).digest())


Chain = tuple[bytes, ...]


@cache
def genesis(kit: str = "kit", name: str = "laptop") -> Chain:
    """Return the chain of a vault with one device."""
    return (listmaking.genesis(a_kit(kit).root, a_device(name), name=name, now=AT),)


def enrolled(chain: Chain, name: str, by: str | Kit) -> Chain:
    """Return the chain with one more device, let in by another device or by a kit."""
    signer = by.root if isinstance(by, Kit) else a_device(by).signer
    return (*chain, listmaking.enrol(chain, a_device(name), name=name, by=signer, now=AT))


def revoked(chain: Chain, name: str, by: str | Kit) -> Chain:
    """Return the chain without that device."""
    signer = by.root if isinstance(by, Kit) else a_device(by).signer
    return (*chain, listmaking.revoke(chain, a_device(name).device_id, by=signer, now=AT))


def renewed(chain: Chain, kit: str, by: str, old: str | None = None) -> Chain:
    """Return the chain after ``kit new`` on a device; ``old`` if the kit before was at hand."""
    before = a_kit(old).root if old else None
    return (*chain, listmaking.new_root(chain, a_kit(kit).root, a_device(by), now=AT, old=before))


def kit_opener(kit: str = "kit") -> Opener:
    """Return what a bare machine with that kit opens sets with."""
    return Opener((a_kit(kit).identity,), (a_kit(kit).root_public,))


# -- sets


def written_set(
    folder: Path,
    chain: Chain,
    by: str,
    vault: Vault | None = None,
    *,
    to: Sequence[str] | None = None,
    signer: Device | None = None,
    name: str | None = None,
    documents: Iterable[bytes] = (),
    parts: Mapping[str, bytes] | None = None,
    remade: Callable[[bytes], bytes] = bytes,
    **told: Any,
) -> Path:
    """Write the set that the device would make of the vault and return its file.

    ``told`` goes into the manifest, ``parts`` in the place of the vault's and history's bytes, ``remade`` changes the
    manifest's bytes before they are signed, ``signer`` signs in the place of the device.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vault = household() if vault is None else vault
    told = {"made_at": AT, "counter": 1, "set": f"{next(_numbers):08x}{os.getpid():08x}", **told}
    content = parts_of(vault, told["made_at"], parts or {})
    gathered = _gathered(vault, content, tuple(documents))
    recipients = tuple(to or (a_kit().recipient,))
    manifest = _manifest(chain, by, gathered, recipients, told)
    data = remade(payload.encoded(manifest))
    signed = statement.sign(signer or a_device(by), chain, payload.PURPOSE, data)
    path = folder / (name or targets.set_name(manifest.made_at[:19] + "Z", manifest.set))
    with path.open("xb") as file:
        sealing.seal(payload.content(gathered, data, signed), file, recipients)
    return path


def parts_of(vault: Vault, made_at: str = AT, other: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Return the bytes of the vault and of a history that gives each thing its place."""
    pieces = cxf.chunks(vault.collections, vault.items, vault.extras, now=made_at)
    lines = [["order", name, len(held), [*range(1, len(held) + 1)]] for name, held in _ordered(vault)]
    history = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return {payload.VAULT: b"".join(pieces), payload.HISTORY: history, **(other or {})}


def _ordered(vault: Vault) -> tuple[tuple[str, Sequence[object]], ...]:
    return (("items", vault.items), ("collections", vault.collections))


class _Documents:
    """What ``payload.content`` asks a store for."""

    def __init__(self, documents: Iterable[bytes]) -> None:
        self._held = {document_name(one): one for one in documents}

    def document_parts(self, name: str) -> Iterator[bytes]:
        yield self._held[name]


def _gathered(vault: Vault, content: Mapping[str, bytes], documents: tuple[bytes, ...]) -> Gathered:
    packed = {name: payload._Packed(name) for name in (payload.VAULT, payload.HISTORY)}
    for name, one in packed.items():
        one.add(content[name])
    done = {name: one.finish() for name, one in packed.items()}
    digests = [(hashlib.sha256(one).hexdigest(), len(one)) for one in documents]
    beside = [Part(payload.DOCUMENTS + digest, size, digest) for digest, size in digests]
    parts = (*(one.part(done[name]) for name, one in packed.items()), *beside)
    members = {name: one.member(done[name]) for name, one in packed.items()}
    trashed = sum(item.trashed for item in vault.items)
    counts = Counts(len(vault.items), trashed, len(vault.collections), len(documents), sum(map(len, documents)))
    return Gathered(_Documents(documents), parts, done, members, counts, "0" * 64)  # type: ignore[arg-type]


def _manifest(chain: Chain, by: str, gathered: Gathered, to: Sequence[str], told: dict[str, Any]) -> Manifest:
    known: dict[str, Any] = {
        "vault": membership.vault_id_of(chain),
        "name": "ada@laptop",
        "previous": None,
        "device": a_device(by).device_id,
        "device_name": by,
        "membership": membership.head_of(chain).hex(),
        "height": len(chain),
        "recipients": tuple(Recipient("kit", "recovery kit", one) for one in to),
        "counts": gathered.counts,
        "content": gathered.content,
        "members": gathered.parts,
    }
    return Manifest(**{**known, **told})


def listing(target: str, *sets: Path, pruned: Iterable[Path] = ()) -> TargetList:
    """Return what a manifest says of a target that holds these sets and held those."""
    return TargetList(target, *({set_id(one): digest(one) for one in group} for group in (sets, pruned)))


def after(path: Path) -> Link:
    """Return the link to the set before."""
    return Link(set_id(path), digest(path))


def set_id(path: Path) -> str:
    """Return the id of a set made here, by opening it as its vault's kit does."""
    from backup import reading

    return reading.peek(path, kit_opener()).manifest.set


def digest(path: Path) -> str:
    """Return the SHA-256 of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- vaults


def login(id_: str, title: str = "", password: str = "pw", **more: Any) -> Item:
    """Return an item with a password."""
    return Item(id=id_, title=title or id_, credentials=(BasicAuth(password=concealed(password)),), **more)


def household() -> Vault:
    """Return a small vault: a folder in a folder, a few items, one of them in the trash."""
    folders = (Collection(id="home", title="Home"), Collection(id="bank", title="Bank", parent="home"))
    items = (
        login("mail-item-1", "Mail", modified_at=AT),
        login("bank-item-1", "Bank", "4711", collections=("bank",), modified_at=AT),
        login("trash-item-1", "Old", trashed=True),
    )
    return Vault(items=items, collections=folders, extras={"cxf": {"exporterRpId": "example.org"}})


def filled(store: Store, vault: Vault, now: str = AT) -> Store:
    """Put a vault into an open store."""
    with store.transaction():
        for collection in vault.collections:
            store.put_collection(collection)
        store.put_many(vault.items, now)
        for format_, extras in vault.extras.items():
            store.set_extras(format_, extras)
    return store


def known(store: Store, chain: Chain, by: str, kit: str = "kit") -> Store:
    """Tell an open store which device of which vault it is on."""
    with store.transaction():
        store.set_meta("device", device.to_text(a_device(by)))
        store.set_meta("kit_recipient", a_kit(kit).recipient)
        store_root(store, a_kit(kit), list(chain))
    return store


@contextmanager
def a_store(folder: Path, chain: Chain = (), by: str = "laptop") -> Iterator[Store]:
    """Make a vault's file alone, without the rest of a home, and open it."""
    chain = chain or genesis()
    with Store.create(folder / "vault.db", KEY, membership.vault_id_of(chain)) as store:
        yield known(store, chain, by)


def lived_in(store: Store) -> Store:
    """Give a vault a past: imports with conflicts and quarantine, one taken back, edits, a purge, attachments."""
    filled(store, household())
    data = store.put_document(b"a deed\x00\xff" * 1000)
    file = File(id=data, name="deed.pdf", decrypted_size=8000, integrity_hash=data)
    for number, undone in enumerate((False, True, False), 1):
        run = f"run{number}"
        store.begin_run(Run(run, "bitwarden_json", f"export{number}.json", f"{number}" * 64, AT, {"into": None}))
        with store.recording(run):
            store.put_many([login(f"new-{run}-{n}", f"New {n}") for n in range(3)], AT)
            store.put(login("mail-item-1", "Mail", f"pw of {run}"), now=AT)
            store.put_collection(Collection(id=f"folder-{run}", title=run))
            store.set_extras("bitwarden_json", {"seen": number})
            store.put_document(f"of {run}".encode())
        store.add_arrivals(run, [(f"items/{n}", f"new-{run}-{n}", f"print{n}") for n in range(3)])
        store.add_quarantine(run, "items/9", "not an object", b"\x00\xffraw")
        store.end_run(run, {"items": {"new": 3}})
        if undone:
            store.undo(run, AT)
    store.put(login("new-run1-0", "Edited since"), now=NOW)
    store.purge("new-run3-2")
    note = Item(id="note-item-1", title="Deed", credentials=(file, Note(content=Secret("attached"))))
    store.put(note, now=NOW)
    store.purge("trash-item-1")
    return store


_TABLES = {
    "items": "SELECT * FROM items ORDER BY seq",
    "collections": "SELECT * FROM collections ORDER BY seq",
    "extras": "SELECT * FROM extras ORDER BY format",
    "past": "SELECT item, at, body, run FROM past ORDER BY no",
    "runs": "SELECT * FROM runs ORDER BY no",
    "arrivals": "SELECT * FROM arrivals ORDER BY run, no",
    "journal": "SELECT * FROM journal ORDER BY no",
    "quarantine": "SELECT run, place, reason, raw FROM quarantine ORDER BY no",
    "documents": "SELECT hash, size, body FROM documents ORDER BY hash",
    "places": "SELECT name, seq FROM sqlite_sequence WHERE name IN ('items', 'collections') AND seq ORDER BY name",
    "words": "SELECT rowid FROM words ORDER BY rowid",
}


def tables(store: Store, *without: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table but those that tell of the device and its backups."""
    return {name: store._db.all(sql) for name, sql in _TABLES.items() if name not in without}


def all_tables(store: Store) -> set[str]:
    """Return the names of the vault file's tables, without those that SQLite keeps for itself."""
    names = {name for (name,) in store._db.all("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {name for name in names if not name.startswith(("sqlite_", "words_"))}


def chain_of(store: Store) -> Chain:
    """Return the chain of an open vault."""
    from vault import keys

    return keys.own_chain(store)


def many(count: int) -> Iterator[Item]:
    """Yield items as people have them: a password, a few addresses, a note on every tenth."""
    for number in range(count):
        note = (Note(content=Secret(f"note {number} " * 20)),) if number % 10 == 0 else ()
        item = login(f"item-{number:06}", f"Site {number}", f"password-{number}")
        yield replaced(item, credentials=(*item.credentials, *note), tags=("work",) if number % 3 else ())


def by_id(vault: Vault) -> tuple[dict[str, Item], dict[str, Collection], dict[str, Any]]:
    """Return what a vault holds, whatever the order."""
    return {one.id: one for one in vault.items}, {one.id: one for one in vault.collections}, dict(vault.extras)


# -- homes


class Homes:
    """Machines that share a folder: each has a home and a key of its own."""

    def __init__(self, folder: Path, capture: Any = None) -> None:
        self.folder, self._capture = folder, capture

    def at(self, name: str) -> Terminal:
        """Return the terminal of the machine of that name, which may have no vault yet."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        return Terminal(place, self._capture)

    def make(self, name: str, kit: str = "kit.txt") -> Terminal:
        """Make a vault there, whose kit goes into the shared folder."""
        machine = self.at(name)
        done = machine("init", "--key-file", machine.key, "--kit", self.folder / kit)
        assert done.code == 0, done.err
        return machine


def sets_in(folder: Path) -> list[Path]:
    """Return the sets of a folder, by name."""
    return sorted(folder.glob("keyferry-*.keyferry"))


def replaced(item: Item, **changes: Any) -> Item:
    """Return the item with other members."""
    return msgspec.structs.replace(item, **changes)
