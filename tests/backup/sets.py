"""Small vaults and sets for tests: made in a moment, sealed or not, to be read, altered and sealed again."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pyrage

from backup import book as books
from backup import making, payload, sealing, targets
from backup.book import Target
from backup.payload import Manifest, Part, Receiver
from vault import device, keys, listmaking, membership, moment
from vault.device import Device
from vault.kit import Kit, new_kit
from vault.kitcare import store_kit
from vault.model import BasicAuth, Field, Item
from vault.moment import Instant
from vault.secret import Secret
from vault.store import Store

DEVICE, STRANGER = device.new_device(), device.new_device()
KIT = new_kit()
NOW = "2026-11-23T21:00:00Z"
LATER = "2026-11-24T21:00:00Z"
PASSWORD = "canary-kr,on27"


def vault(path: Path, *, own: Device = DEVICE, kit: Kit = KIT) -> Store:
    """Return a new vault, open, whose first device and kit are these."""
    chain = [listmaking.genesis(kit.root, own, name="laptop", now=NOW)]
    store = Store.create(path, bytes(32), membership.vault_id_of(chain))
    store.set_meta("name", "Ada")
    store.set_meta("device", device.to_text(own))
    store_kit(store, kit, chain)
    return store


def login(id_: str, title: str, password: str = PASSWORD) -> Item:
    """Return a login."""
    name, secret = Field(value="ada"), Field(value=Secret(password), field_type="concealed-string")
    return Item(id=id_, title=title, credentials=(BasicAuth(username=name, password=secret),))


def small(path: Path) -> Store:
    """Return a vault with two items, a past version and a small attachment."""
    store = vault(path)
    store.put(login("mail", "Mail", "old"), now=NOW)
    store.put(login("mail", "Mail"), now=NOW)
    store.put(login("bank", "Bank"), now=NOW)
    store.put_document(b"a contract\n")
    return store


def plain(
    store: Store,
    *,
    told: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    sign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """Return the ZIP of a set of the vault; ``told`` alters the manifest before it is signed."""
    with store.snapshot():
        gathered = payload.gather(store, NOW)
        book = books.Book(tag="0" * 8, counter=1)
        manifest = payload.encoded(told(making._manifest(store, book, gathered, NOW)))
        statement = keys.sign_statement(store, payload.PURPOSE, manifest) if sign is None else sign(manifest)
        return b"".join(payload.content(gathered, manifest, statement))


def sealed(data: bytes, *recipients: str) -> bytes:
    """Return an age file that holds the data."""
    return bytes(pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(one) for one in recipients]))


def read(
    data: bytes, roots: Sequence[bytes] | None = (KIT.root_public,), receiver: Receiver | None = None
) -> payload.Found:
    """Read a ZIP as it comes out of its age container; raises as ``payload.read``."""
    found = payload.Found()
    feed = sealing._Feed(payload.read(found, roots, receiver))
    feed.write(memoryview(data))
    feed.end()
    return found


class Kept:
    """A receiver that keeps every part."""

    def __init__(self) -> None:
        self.parts: dict[str, bytearray] = {}

    def begin(self, manifest: Manifest) -> None:
        """Nothing to do."""

    def part(self, part: Part) -> Callable[[bytes], object]:
        return self.parts.setdefault(part.name, bytearray()).extend

    def end(self, part: Part) -> None:
        """Nothing to do."""


def deflated(content: bytes) -> bytes:
    """Return the content deflated as it is, in one stored block, so that every library writes the same."""
    return b"\1" + len(content).to_bytes(2, "little") + (len(content) ^ 0xFFFF).to_bytes(2, "little") + content


def squeezed(content: bytes) -> bytes:
    """Return the content deflated as well as the library can."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def home(folder: Path) -> Path:
    """Return a home with a vault of two items; its kit waits inside."""
    place = folder / "home"
    with mock.patch.object(device, "new_device", return_value=DEVICE):
        store = keys.init_vault(place, holder=keys.choose_holder(place, key_file=folder / "key"))
    with store:
        store.put(login("mail", "Mail"), now=NOW)
        store.put(login("bank", "Bank"), now=NOW)
        store.put_document(b"a contract\n")
    return place


def target(store: Store, place: Path, folder: Path, *, append_only: bool = False) -> Target:
    """Make the folder a backup target and return it."""
    found = targets.add(books.load(store, place), folder, append_only=append_only)
    books.change(store, place, lambda book: books.with_target(book, found))
    return found


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: Instant = NOW) -> None:
        self.now = now

    def __call__(self) -> Instant:
        return self.now

    def later(self, **passed: float) -> Clock:
        """Let time pass."""
        self.now = (moment.to_datetime(self.now) + timedelta(**passed)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self


def written(folder: Path) -> list[Path]:
    """Return the sets in a folder, the oldest first."""
    return sorted(folder.glob("*.keyferry"))


def flip(path: Path, place: int = -500) -> None:
    """Alter one bit of a file."""
    data = bytearray(path.read_bytes())
    data[max(place, -len(data))] ^= 4
    path.write_bytes(bytes(data))
