"""Making a vault from what a backup holds: the same vault on a new device, or its content in a vault of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from vault import device, membership
from vault.identity import name_device, write_membership
from vault.keyholders import Holder, choose_holder, named
from vault.kit import Kit, new_kit
from vault.kitcare import store_kit
from vault.making import host_name, make_vault
from vault.moment import Instant
from vault.settings import Settings
from vault.store import Store

Fill = Callable[[Store], None]


def rejoin_vault(
    home: Path, kit: Kit, chain: Sequence[bytes], fill: Fill, *, name: str, now: Instant, holder: Holder | None = None
) -> Store:
    """Make the vault that the chain belongs to, on this device, which the kit's root enrols as a new one.

    The kit counts as checked: it was at hand. Raises as ``init_vault``, ``WrongKit`` if the kit's root is not the
    chain's newest, and what ``fill`` raises; then there is no vault.
    """
    own = device.new_device()
    entry = membership.enrol(chain, own, name="", by=kit.root, now=now)
    vault_id = membership.vault_id_of(chain)
    key_entry = f"{vault_id}/{own.device_id}"

    def whole(store: Store) -> None:
        store.set_meta("device", device.to_text(own))
        name_device(store, own.device_id, host_name())
        store.set_meta("key_entry", key_entry)
        store.set_meta("kit_recipient", kit.recipient)
        store.set_meta("kit_checked_at", now)
        write_membership(store, (*chain, entry))
        fill(store)

    settings = Settings(vault=vault_id, holder={}, name=name, made_at=now, making=True)
    return make_vault(home, named(holder or choose_holder(home), key_entry), settings, whole)


def adopt_vault(
    home: Path, fill: Fill, *, name: str, origin: dict[str, str], now: Instant, holder: Holder | None = None
) -> Store:
    """Make a vault of its own, with a new kit that waits in it, and fill it; ``origin`` says where that came from.

    Raises as ``init_vault``, and what ``fill`` raises; then there is no vault.
    """
    own, kit = device.new_device(), new_kit()
    chain = [membership.genesis(kit.root, own, name="", now=now)]

    def whole(store: Store) -> None:
        store.set_meta("device", device.to_text(own))
        name_device(store, own.device_id, host_name())
        store.set_meta("origin", json.dumps(origin))
        store_kit(store, kit, chain)
        fill(store)

    settings = Settings(vault=membership.vault_id_of(chain), holder={}, name=name, made_at=now, making=True)
    return make_vault(home, holder, settings, whole)
