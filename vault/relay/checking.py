"""What a relay checks before it keeps anything: who signed, and whether an entry belongs where it wants to stand.

It reads the membership chain (public keys, ids, signatures) and the headers of entries; the rest is sealed for others.
Entries of a device count if it was a member at the membership entry that they name: so those of a device that was
revoked later can be brought back to a relay that lost them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault import crypto, membership
from vault.errors import DamagedVault, ForgedEntry
from vault.relay.quota import Limits
from vault.relay.refusals import Refused, fork, malformed
from vault.relay.storage import ENTRY, MEMBER, NO_DEVICE, Row
from vault.sync import entry, wire

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_PREVIOUS = 4  # part of a membership entry's body


@dataclass(frozen=True, slots=True)
class Standing:
    """A device's key, between which entries of the chain it was a member, and the last of its own that counts."""

    key: Ed25519PublicKey
    since: int
    until: int | None
    last: int | None

    def may_have_written(self, seq: int, number: int) -> bool:
        """Tell whether its entry of this number counts, written when the chain ended with that entry."""
        while_member = self.since <= number and (self.until is None or number < self.until)
        return while_member and (self.last is None or seq <= self.last)


@dataclass(frozen=True, slots=True)
class Known:
    """A vault's membership as the relay has read it; the same head always means the same."""

    vault: str
    chain: tuple[bytes, ...]
    hashes: tuple[bytes, ...]
    numbers: dict[bytes, int]
    devices: dict[str, Standing]
    members: int
    root: bytes
    root_key: Ed25519PublicKey

    @property
    def head(self) -> bytes:
        """The hash of the newest membership entry."""
        return self.hashes[-1]


def read_known(chain: Sequence[bytes], limits: Limits) -> Known:
    """Return what the chain amounts to; raises ``Refused`` if it does not hold or has too many members."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(chain) > limits.chain_entries:
        raise Refused(507, "quota", "the vault's list of devices is too long for this relay")
    try:
        found = membership.read_chain(chain)
    except DamagedVault:
        raise Refused(422, "bad-membership", "the list of devices does not hold") from None
    if len(found.members) > limits.devices:
        raise Refused(507, "quota", "the vault has more devices than this relay takes")
    hashes = tuple(hashlib.sha256(one).digest() for one in chain)
    begins, ends = _spans(chain)
    devices = {
        one.device_id: Standing(
            Ed25519PublicKey.from_public_bytes(one.bundle.ed25519),
            begins[one.bundle.packed],
            ends.get(one.device_id),
            one.last[0] if one.last is not None else None,
        )
        for one in (*found.members, *found.revoked)
    }
    return Known(
        vault=found.vault_id,
        chain=tuple(chain),
        hashes=hashes,
        numbers={one: number for number, one in enumerate(hashes)},
        devices=devices,
        members=len(found.members),
        root=found.root,
        root_key=Ed25519PublicKey.from_public_bytes(found.root),
    )


def signer_key(known: Known, signed: wire.Signed) -> Ed25519PublicKey:
    """Return the key of a member or the root; raises ``Refused`` for anybody else."""
    if signed.root:
        if signed.root != known.root:
            raise Refused(403, "not-the-root", "the request is signed by another root key")
        return known.root_key
    standing = known.devices.get(signed.device_id)
    if standing is None:
        raise Refused(403, "not-a-member", "the device is no member of this vault")
    if standing.until is not None:
        raise Refused(403, "revoked", "the device was revoked")
    return standing.key


def joined(known: Known, entries: Sequence[bytes], limits: Limits) -> tuple[Known, tuple[bytes, ...]]:
    """Return the membership with the entries, and those of them that are new.

    An entry that stands elsewhere than at the end may part the chain there only if it outranks what followed; raises
    ``Refused``, 409 with the hash of the entry in its place.
    """
    chain, numbers, new = list(known.chain), dict(known.numbers), []
    for one in entries:
        own = hashlib.sha256(one).digest()
        if own in numbers:
            continue
        place = numbers.get(_previous(one))
        if place is None:
            raise Refused(422, "gap", "a membership entry before this one is missing")
        if place + 1 < len(chain):
            branch = [*chain[: place + 1], one]
            if not _outranks(branch, chain):
                raise fork(hashlib.sha256(chain[place + 1]).digest())
            chain = branch[:-1]
            numbers = {each: number for each, number in numbers.items() if number <= place}
        chain.append(one)
        numbers[own] = place + 1
        new.append(one)
    return (read_known(chain, limits) if new else known), tuple(new)


def checked_entry(known: Known, data: bytes) -> Row:
    """Return the row of an entry whose signature and place in the membership hold; raises ``Refused``."""
    try:
        header = entry.read_header(data)
    except ForgedEntry:
        raise Refused(422, "bad-entry", "an entry is not built as entries are") from None
    standing = known.devices.get(header.device)
    number = known.numbers.get(header.membership)
    if header.vault != known.vault:
        raise Refused(422, "bad-entry", "an entry belongs to another vault")
    if number is None:
        raise Refused(422, "unknown-membership", "an entry names a list of devices that the relay does not have")
    if standing is None or not standing.may_have_written(header.seq, number):
        raise Refused(403, "not-a-member", "an entry is written by a device that was no member")
    if not _is_signed(header, standing.key):
        raise Refused(422, "bad-signature", "the signature of an entry does not hold")
    return Row(bytes.fromhex(header.device), header.seq, header.hash, header.before, ENTRY, data)


def member_row(data: bytes) -> Row:
    """Return the row of a membership entry, without its number, which is the database's to give."""
    return Row(NO_DEVICE, 0, hashlib.sha256(data).digest(), b"", MEMBER, data)


def restored_chain(rows: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the chain that ends with the last of the membership entries, given in the order of their arrival."""
    by_hash = {hashlib.sha256(one).digest(): one for one in rows}
    chain = [rows[-1]]
    while chain[-1] is not rows[0]:
        chain.append(by_hash[_previous(chain[-1])])
    return tuple(reversed(chain))


def _is_signed(header: entry.Header, key: Ed25519PublicKey) -> bool:
    try:
        entry.check_signature(header, key.public_bytes_raw())
    except ForgedEntry:
        return False
    return True


def _outranks(branch: list[bytes], chain: list[bytes]) -> bool:
    try:
        membership.read_chain(branch)
    except DamagedVault:
        raise Refused(422, "bad-membership", "the list of devices does not hold") from None
    return membership.outranks(branch, chain)


def _body(data: bytes) -> tuple[bytes, ...]:
    return crypto.unpacked(crypto.unpacked(data)[0])


def _previous(data: bytes) -> bytes:
    """Return the hash of the membership entry before this one; raises ``Refused`` for what is none."""
    try:
        return _body(data)[_PREVIOUS]
    except (ValueError, IndexError):
        raise malformed("not a membership entry") from None


def _spans(chain: Sequence[bytes]) -> tuple[dict[bytes, int], dict[str, int]]:
    """Return the number of the entry that enrolled a bundle, and of that which revoked a device id."""
    bodies = [_body(one) for one in chain]
    begins = {body[-1]: number for number, body in enumerate(bodies) if body[1] in (b"genesis", b"enrol")}
    return begins, {body[5].hex(): number for number, body in enumerate(bodies) if body[1] == b"revoke"}
