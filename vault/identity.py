"""Who this device is and whom this vault trusts, as its open file tells."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from vault import crypto, device, membership, signing, statement
from vault.device import Device
from vault.errors import DamagedVault, ForgedSignature
from vault.kitcare import chain_of
from vault.statement import Signed
from vault.store import Store
from vault.text import clean

_NAMES = "device_names"
_NAME_CHARS = 64


class KitFact(NamedTuple):
    """A kit that ever belonged to this vault: its age recipient, and when it was replaced."""

    recipient: str
    until: str


def own_device(store: Store) -> Device:
    """Return the private keys of this device; raises ``DamagedVault``."""
    return device.from_text(store.meta("device") or "")


def own_chain(store: Store) -> tuple[bytes, ...]:
    """Return the membership chain; raises ``DamagedVault``."""
    return tuple(chain_of(store))


def own_roots(store: Store) -> tuple[bytes, ...]:
    """Return every root key the chain ever had, the newest last: old sets are signed under old roots."""
    return tuple(root.public for root in membership.read_chain(own_chain(store)).roots)


def members(store: Store) -> tuple[membership.Member, ...]:
    """Return the devices that may sign now, oldest first, with the names this vault knows them by."""
    names = device_names(store)
    found = membership.read_chain(own_chain(store)).members
    return tuple(replace(one, name=names.get(one.device_id) or one.name or one.device_id[:8]) for one in found)


def signing_notes(store: Store) -> tuple[str, ...]:
    """Return sentences about whose signatures on the list of devices are Ed25519's alone, or checked that far only."""
    found, names = membership.read_chain(own_chain(store)), device_names(store)
    short = [names.get(one.device_id) or one.device_id[:8] for one in found.members if not one.bundle.mldsa65]
    notes = []
    if not signing.has_mldsa65() and (found.roots[-1].mldsa65 or len(short) < len(found.members)):
        notes.append(
            "this machine's cryptography library has no ML-DSA: the list of devices is checked by Ed25519 alone"
        )
    if short and len(short) < len(found.members):
        notes.append(f"{', '.join(short)} cannot sign by ML-DSA; joined anew with a newer library, it can")
    return tuple(notes)


def device_names(store: Store) -> dict[str, str]:
    """Return the names of devices by id; they are kept in the vault, as a relay reads the membership chain."""
    found: dict[str, str] = json.loads(store.meta(_NAMES) or "{}")
    return found


def name_device(store: Store, device_id: str, name: str) -> None:
    """Keep the name of a device, cleaned and cut."""
    names = {**device_names(store), device_id: clean(name)[:_NAME_CHARS]}
    store.set_meta(_NAMES, json.dumps(names))


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name that no other device has, so that people can name this one."""
    numbered = (f"{name[: _NAME_CHARS - 5]} {number}" for number in itertools.count(2))
    return name if name not in taken else next(one for one in numbered if one not in taken)


def distinguish(store: Store) -> bool:
    """Give this device another name if one that was there before it has the same; tell whether that was so."""
    own, names = own_device(store).device_id, device_names(store)
    order = [one.device_id for one in membership.read_chain(own_chain(store)).members]
    later = set(order[order.index(own) + 1 :]) if own in order else set()
    before = {name for one, name in names.items() if one != own and one not in later}
    if names.get(own) not in before:
        return False
    with store.transaction():
        name_device(store, own, free_name(names[own], [name for one, name in names.items() if one != own]))
    return True


def kits(store: Store) -> tuple[KitFact, ...]:
    """Return the present kit, its ``until`` empty, then those it replaced; none if the vault has no kit."""
    recipient = store.meta("kit_recipient")
    old = json.loads(store.meta("old_kits") or "[]")
    present = [KitFact(recipient, "")] if recipient else []
    return (*present, *(KitFact(one["recipient"], one["until"]) for one in old))


def sign_statement(store: Store, purpose: bytes, body: bytes) -> bytes:
    """Return this device's statement about the bytes."""
    return statement.sign(own_device(store), own_chain(store), purpose, body)


def check_statement(
    data: bytes, purpose: bytes, body: bytes, roots: Sequence[bytes] | None, own: bytes = b""
) -> Signed:
    """Return who signed the bytes; ``roots`` None trusts the root the statement itself brings, which proves nothing.

    What is signed by ``own``, this device's key, needs no root.

    Raises ``ForgedSignature``.
    """
    if roots is None:
        try:
            roots = (membership.read_chain(statement.chain_in(data)).root,)
        except DamagedVault:
            raise ForgedSignature("its list of devices is damaged or forged") from None
    return statement.check(data, purpose, body, roots, own)


def write_membership(store: Store, chain: Sequence[bytes]) -> None:
    """Keep a longer chain and its newest root; call it inside a transaction."""
    store.set_meta("root", crypto.to_text(membership.read_chain(chain).root))
    store.set_meta("membership", json.dumps([crypto.to_text(entry) for entry in chain]))
