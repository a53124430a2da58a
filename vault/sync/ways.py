"""The way a vault is synced by: a relay with its certificate's pin, or a folder. Chosen, remembered, opened."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import msgspec

from vault import identity
from vault.errors import NotSynced, UsageError
from vault.kit import Kit
from vault.store import Store
from vault.sync import log, snapshots
from vault.sync.travel import Transport


class Way(msgspec.Struct, frozen=True):
    """A relay or a folder."""

    relay: str = ""
    pin: str = ""
    folder: str = ""

    @property
    def title(self) -> str:
        """What it is called, for people."""
        return f"relay {self.relay}" if self.relay else f"folder {self.folder}"


class Slot(Protocol):
    """A channel that can be closed."""

    def put(self, number: int, data: bytes) -> None: ...
    def get(self, number: int) -> bytes: ...
    def burn(self) -> None: ...
    def close(self) -> None: ...


def chosen(store: Store, relay: str | None, pin: str | None, folder: Path | None) -> Way:
    """Return the way that was named, else the one remembered; raises ``UsageError``, ``NotSynced``."""
    found = remembered(store)
    way = named(relay, pin, folder, known=found) or found
    if way is None:
        raise NotSynced("there is no relay and no folder yet", hint="name one: --relay URL or --folder DIR")
    return way


def named(relay: str | None, pin: str | None, folder: Path | None, *, known: Way | None = None) -> Way | None:
    """Return the way that these name, or None if neither is given; raises ``UsageError``, ``RelayUnreachable``.

    The pin of a relay is the one given, the one ``known``, or the one it shows now, if no authority vouches for it.
    """
    if relay and folder:
        raise UsageError("--relay and --folder exclude each other")
    if relay:
        origin = _origin(relay)
        before = known.pin if known is not None and known.relay == origin else ""
        return Way(relay=origin, pin=pin or before or _first_pin(origin))
    return Way(folder=str(folder.expanduser().absolute())) if folder is not None else None


def remembered(store: Store) -> Way | None:
    """Return the way that was used last, or None."""
    found = log.setting(store)
    return Way(found.relay, found.pin, found.folder) if found.relay or found.folder else None


def remember(store: Store, way: Way) -> None:
    """Keep the way for the next time."""
    with store.transaction():
        fresh = msgspec.structs.replace(log.setting(store), relay=way.relay, pin=way.pin, folder=way.folder)
        log.write_setting(store, fresh)


class Kept:
    """What a vault has of all logs already, so that a folder is asked for the rest only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def upto(self, device: str) -> int:
        """Return how far a device's log is here without a gap."""
        return log.upto(self._store, device) if log.is_on(self._store) else 0

    def settled(self, device: str) -> int:
        """Return up to which number a settled snapshot has a device's log, 0 if none has."""
        return snapshots.settled_numbers(self._store).get(device, 0) if log.is_on(self._store) else 0

    def hash_at(self, device: str, seq: int) -> bytes | None:
        """Return the hash of one entry, also of one that is only known of, or None."""
        if not log.is_on(self._store):
            return None
        pinned = (place.acknowledged.get(device, (0, "")) for place in log.setting(self._store).places.values())
        told = next((bytes.fromhex(hash_) for number, hash_ in pinned if number == seq), None)
        return log.hash_at(self._store.database, device, seq) or told

    def members(self) -> set[str]:
        """Return the hashes of all membership entries that are here."""
        chain = {hashlib.sha256(one).hexdigest() for one in identity.own_chain(self._store)}
        if not log.is_on(self._store):
            return chain
        return chain | {hashlib.sha256(one).hexdigest() for one in log.strays(self._store.database)}


def transport(store: Store, way: Way) -> Transport:
    """Return the open way for this vault's messages."""
    if way.folder:
        from vault.sync.folder import Folder

        return Folder(Path(way.folder), store.vault_id, kept=Kept(store))
    from vault.sync.client import Client

    return Client(way.relay, way.pin, store.vault_id, device=identity.own_device(store))


def transport_by_root(way: Way, vault_id: str, kit: Kit) -> Transport:
    """Return the open way for somebody who has the kit and no device yet."""
    if way.folder:
        from vault.sync.folder import Folder

        return Folder(Path(way.folder), vault_id)
    from vault.sync.client import Client

    by_root = [Client(way.relay, way.pin, vault_id, root=root.ed25519) for root in reversed(kit.roots)]
    return next((one for one in by_root if one.is_let_in()), by_root[0])


def new_slot(store: Store, way: Way, seconds: float) -> tuple[Slot, str]:
    """Return a fresh slot for two devices to meet in, and its name."""
    if way.folder:
        import secrets

        from vault.sync.folder import FolderChannel

        name = secrets.token_hex(16)
        channel = FolderChannel(Path(way.folder), name, seconds)
        channel.begin()
        return channel, name
    from vault.sync.slots import RelayChannel

    made: Any = RelayChannel.open_new(way.relay, way.pin, seconds)
    return made, made.slot


def slot_of(way: Way, name: str, seconds: float) -> Slot:
    """Return the slot of that name."""
    if way.folder:
        from vault.sync.folder import FolderChannel

        return FolderChannel(Path(way.folder), name, seconds)
    from vault.sync.slots import RelayChannel

    return RelayChannel(way.relay, way.pin, name, seconds)


def _first_pin(origin: str) -> str:
    from vault.sync.https import first_pin

    return first_pin(origin)


def _origin(url: str) -> str:
    """Return scheme, host and port of an address; raises ``UsageError``."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url if "//" in url else f"https://{url}")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not local):
        raise UsageError("that is no address of a relay", hint="https://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")
