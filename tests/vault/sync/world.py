"""A few devices of one vault that meet through a folder: quick to make, their clocks turned by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from vault import device as devices
from vault import identity, listmaking, membership, moment
from vault.canonical import canonical, decode_item
from vault.crypto import to_text
from vault.device import Device, new_device
from vault.kit import Kit
from vault.kitcare import store_root
from vault.model import BasicAuth, Item, concealed
from vault.store import Store
from vault.sync import belonging, joining, log, session
from vault.sync.folder import Folder
from vault.sync.pairing import Joined
from vault.sync.session import Round
from vault.sync.ways import Kept, Way

START_MS = 1_795_000_000_000
KEY = bytes(32)
KIT = Kit(hashlib.sha256(b"test kit of the sync world").digest())


@cache
def a_device(name: str) -> Device:
    """Return the private keys of the device of that name, the same for the whole run: RSA keys take time."""
    return new_device()


class Vault:
    """One device's vault."""

    def __init__(self, world: World, name: str, store: Store) -> None:
        self.world, self.name, self.store = world, name, store
        self.skew_ms = 0

    @property
    def id(self) -> str:
        return a_device(self.name).device_id

    def now_ms(self) -> int:
        return self.world.ms + self.skew_ms

    def now(self) -> str:
        return moment.from_millis(self.now_ms())

    def folder(self, name: str = "shared") -> Folder:
        """The folder as this device opens it."""
        return Folder(self.world.place(name), self.store.vault_id, kept=Kept(self.store))

    def sync(self, name: str = "shared", **given: Any) -> Round:
        """Make one round; a millisecond goes by."""
        self.world.ms += 1
        return session.sync(self.store, self.folder(name), self.now_ms, **given)

    def add(self, id_: str, title: str = "", **given: Any) -> Item:
        """Put a login with a password."""
        login = BasicAuth(password=concealed(given.pop("password", f"secret of {id_}")))
        item = Item(id=id_, title=title or id_, **{"credentials": (login,), **given})
        self.put(item)
        return item

    def put(self, *items: Item) -> None:
        self.world.ms += 1
        self.store.put_many(items, self.now())

    def edit(self, id_: str, **changed: Any) -> None:
        """Change some members of an item."""
        item = self.store.item(id_)
        assert item is not None
        self.put(msgspec.structs.replace(item, **changed))

    def do(self, action: Callable[[Store], object]) -> None:
        """Write something else."""
        self.world.ms += 1
        with self.store.transaction():
            action(self.store)

    def title(self, id_: str) -> str | None:
        item = self.store.item(id_)
        return item.title if item is not None else None

    def past_titles(self, id_: str) -> set[str]:
        return {decode_item(body).title for _, body in self.store.past(id_)}

    def content(self) -> bytes:
        """All that a person has in this vault, in an order that does not depend on the device."""
        whole = self.store.vault()
        return canonical(
            {
                "items": sorted(whole.items, key=lambda one: one.id),
                "collections": sorted(whole.collections, key=lambda one: one.id),
                "extras": whole.extras,
                "documents": sorted(self.store.documents()),
                "names": identity.device_names(self.store),
            }
        )

    def chain(self) -> tuple[bytes, ...]:
        return identity.own_chain(self.store)

    def members(self) -> set[str]:
        """The names of the devices that belong to the vault."""
        ids = {one.device_id for one in membership.read_chain(self.chain()).members}
        return {name for name in self.world.vaults if a_device(name).device_id in ids}

    def restarted(self) -> None:
        """Open the vault file anew."""
        self.store.close()
        self.store = self.world.opened(self.name, self.store.vault_id)


class World:
    """Devices by name, and the folders they share."""

    def __init__(self, path: Path, *names: str, kit: bool = True) -> None:
        self.path, self.ms = path, START_MS
        self.vaults: dict[str, Vault] = {}
        first, *others = names or ("laptop", "phone")
        self._begin(first, kit)
        for name in others:
            self.join(name, by=first)

    def __getitem__(self, name: str) -> Vault:
        return self.vaults[name]

    def place(self, name: str = "shared") -> Path:
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def root(self, name: str = "shared") -> Path:
        """The vault's own folder in a shared one."""
        vault_id = next(iter(self.vaults.values())).store.vault_id
        return self.place(name) / f"keyferry-{vault_id}"

    def settle(self, *names: str, through: str = "shared") -> None:
        """Let these devices, or all, sync until nothing is left to say."""
        for _ in range(2):
            for name in names or tuple(self.vaults):
                self[name].sync(through)
        for name in names or tuple(self.vaults):
            self[name].sync(through)

    def agrees(self, *names: str) -> bool:
        """Tell whether these devices, or all, have the same."""
        return len({self[name].content() for name in names or self.vaults}) == 1

    def opened(self, name: str, vault_id: str) -> Store:
        path = self.path / f"{name}.db"
        return Store.open(path, KEY) if path.exists() else Store.create(path, KEY, vault_id)

    def join(self, name: str, by: str, through: str = "shared") -> Vault:
        """Let a device in, as pairing does it."""
        inviter, own, now = self[by], a_device(name), self[by].now()
        belonging.begin(inviter.store, now)
        inviter.sync(through)
        chain = inviter.chain()
        added = listmaking.enrol(chain, own, name="", by=a_device(by).signer, now=now)
        member = membership.read_chain((*chain, added)).member(own.device_id)
        assert member is not None
        longer = belonging.enrol(inviter.store, member, added, now)
        with inviter.store.transaction():
            identity.name_device(inviter.store, own.device_id, name)
        inviter.sync(through)
        heads = {one: (head.seq, head.hash.hex()) for one, head in log.heads(inviter.store.database).items()}
        return self._made(name, longer, heads, Way(folder=str(self.place(through))), inviter.store)

    def _begin(self, name: str, kit: bool) -> None:
        own = a_device(name)
        chain = [listmaking.genesis(KIT.root, own, name="", now=moment.from_millis(self.ms))]
        store = self.opened(name, membership.vault_id_of(chain))
        with store.transaction():
            store.set_meta("device", devices.to_text(own))
            identity.name_device(store, own.device_id, name)
            store_root(store, KIT, chain)
            if kit:
                store.set_meta("kit_recipient", KIT.recipient)
        self.vaults[name] = Vault(self, name, store)

    def _made(
        self, name: str, chain: tuple[bytes, ...], heads: dict[str, tuple[int, str]], way: Way, by: Store
    ) -> Vault:
        joined = Joined(
            chain=chain,
            name="",
            kit_recipient=by.meta("kit_recipient") or "",
            kit_checked_at="",
            old_kits="[]",
            names=identity.device_names(by),
            heads=heads,
        )
        store = self.opened(name, by.vault_id)
        with store.transaction():
            store.set_meta("device", devices.to_text(a_device(name)))
            store.set_meta("root", to_text(membership.read_chain(chain).root))
            identity.write_membership(store, chain)
            store.set_meta("kit_recipient", joined.kit_recipient or None)
            for device_id, title in joined.names.items():
                identity.name_device(store, device_id, title)
            joining.begin(store, way, joined)
        self.vaults[name] = Vault(self, name, store)
        return self.vaults[name]

    def close(self) -> None:
        for one in self.vaults.values():
            one.store.close()
