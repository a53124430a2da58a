"""Making a vault from what a backup holds: the same vault on a new device, or its content in a vault of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vault import crypto, device, listmaking, membership, newkit
from vault.errors import KeyringUnavailable, WrongKit
from vault.identity import name_device, own_chain, own_device, write_membership
from vault.keyholders import Holder, choose_holder, named
from vault.kit import Kit, new_kit
from vault.kitcare import end_kit, store_kit
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
    own, found = device.new_device(), membership.read_chain(chain)
    longer = (*chain, listmaking.enrol(chain, own, name="", by=kit.root_among(found.root_publics), now=now))
    if not kit.is_root(found.root, found.roots[-1].mldsa65):
        raise WrongKit("the vault's devices are signed by another kit", hint="use the newest kit of this vault")
    epoch_keys = epoch_keys_of(chain, kit)
    longer = with_keys(longer, epoch_keys, own, now)
    vault_id = membership.vault_id_of(chain)
    key_entry = f"{vault_id}/{own.device_id}"

    def whole(store: Store) -> None:
        store.set_meta("device", device.to_text(own))
        name_device(store, own.device_id, host_name())
        store.set_meta("key_entry", key_entry)
        store.set_meta("kit_recipient", kit.recipient)
        store.set_meta("kit_checked_at", now)
        write_membership(store, longer)
        newkit.accept(store)
        fill(store)
        if epoch_keys:
            _begin_log(store, epoch_keys, kit)

    settings = Settings(vault=vault_id, holder={}, name=name, made_at=now, making=True)
    with _advised():
        return make_vault(home, named(holder or choose_holder(home), key_entry), settings, whole)


def adopt_vault(
    home: Path, fill: Fill, *, name: str, origin: dict[str, str], now: Instant, holder: Holder | None = None
) -> Store:
    """Make a vault of its own, with a new kit that waits in it, and fill it; ``origin`` says where that came from.

    Raises as ``init_vault``, and what ``fill`` raises; then there is no vault.
    """
    own, kit = device.new_device(), new_kit()
    chain = [listmaking.genesis(kit.root, own, name="", now=now)]

    def whole(store: Store) -> None:
        store.set_meta("device", device.to_text(own))
        name_device(store, own.device_id, host_name())
        store.set_meta("origin", json.dumps(origin))
        store_kit(store, kit, chain)
        fill(store)

    settings = Settings(vault=membership.vault_id_of(chain), holder={}, name=name, made_at=now, making=True)
    with _advised():
        return make_vault(home, holder or choose_holder(home), settings, whole)


def catch_up(store: Store, chain: Sequence[bytes], kit_recipient: str) -> bool:
    """Take over a chain that goes on from the vault's own, and the kit in force at its end; tell whether it does.

    An older state of the vault would else trust devices that were revoked since, and seal to a kit that was replaced.
    The chain must hold, and come from a set that was proven. Nothing is done if this device is no member at its end.
    """
    own = own_chain(store)
    if len(chain) <= len(own) or not membership.is_prefix(own, chain):
        return False
    found = membership.read_chain(chain)
    if found.member(own_device(store).device_id) is None:
        return False
    with store.transaction():
        old_root = crypto.from_text(store.meta("root") or "")
        if found.root != old_root:
            end_kit(store, kit_recipient, found.roots[-1].since, old_root=old_root)
        write_membership(store, chain)
    return True


@contextmanager
def _advised() -> Iterator[None]:
    """Say what to add to the command if there is no keyring."""
    try:
        yield
    except KeyringUnavailable as error:
        hint = "name another place for the key: keyferry restore BACKUP --key-file PATH, or --passphrase"
        raise KeyringUnavailable(error.message, hint=hint) from None


def epoch_keys_of(chain: Sequence[bytes], kit: Kit) -> dict[int, bytes]:
    """Return the keys of the epochs that the kit opens, of a vault that was synced."""
    from vault.sync import epochs

    found = membership.read_chain(chain).epochs
    own = epochs.kit_id(kit.recipient)
    opened = {one.number: epochs.unwrap_by_kit(one.wraps[own][1], kit.identity) for one in found if own in one.wraps}
    promised = {one.number: one.commitment for one in found}
    return {number: key for number, key in opened.items() if epochs.commitment_of(key) == promised[number]}


def with_keys(
    chain: tuple[bytes, ...], epoch_keys: dict[int, bytes], own: device.Device, now: Instant
) -> tuple[bytes, ...]:
    """Return the chain with the keys wrapped for the new device."""
    from vault.sync import epochs

    vault_id, suite = membership.vault_id_of(chain), epochs.best_suite(own.bundle)
    for number, key in sorted(epoch_keys.items()):
        wrapped = epochs.wrap(key, own.bundle, vault=vault_id, epoch=number, suite=suite)
        wraps = {own.device_id: (suite, wrapped)}
        commitment = epochs.commitment_of(key)
        chain = (*chain, listmaking.begin_epoch(chain, number, commitment, wraps, by=own.signer, now=now))
    return chain


def _begin_log(store: Store, epoch_keys: dict[int, bytes], kit: Kit) -> None:
    from vault.sync import belonging, log, restored

    log.begin(store)
    restored.keep_base(store)
    for number, key in epoch_keys.items():
        log.keep_epoch_key(store, number, key)
    belonging.learn_lost_by_kit(store, kit)
    log.write_setting(store, log.Setting(restored=True))
