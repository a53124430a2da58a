"""What a relay checks before it keeps anything: who signed, and whether an entry belongs where it wants to stand.

It reads the membership chain (public keys, ids, signatures) and the headers of entries; the rest is sealed for others.
Entries of a device count if it was a member at the membership entry that they name: so those of a device that was
revoked later can be brought back to a relay that lost them.

Where two devices signed after the same membership entry, one list stands above the other. The one that lost is kept as
well, within limits, and so are entries that stand on it: what was written there reaches the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vault import crypto, membership, seniority
from vault.errors import DamagedVault, ForgedEntry
from vault.relay.quota import Limits
from vault.relay.refusals import Refused, malformed
from vault.relay.storage import ENTRY, MEMBER, NO_DEVICE, SNAP, Row, cut_of
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
    newest: bytes  # hash of the membership entry that arrived last
    lost: dict[bytes, bytes] = field(default_factory=dict)  # entries of lists that another outranked, by hash
    read: dict[bytes, dict[str, bytes]] = field(default_factory=dict)  # signing keys of the members of such lists

    def branch(self, head: bytes) -> list[bytes] | None:
        """Return the list that ends with this entry, of the chain or one that lost; None if it is not here whole."""
        return _branch(self.chain, self.numbers, self.lost, head)

    def members_of_lost(self, head: bytes) -> dict[str, bytes] | None:
        """Return signing keys by device id of the list that lost and ends with this entry; None if it is not here."""
        if head not in self.read:
            branch = self.branch(head) if head in self.lost else None
            if branch is None:
                return None
            found = membership.read_chain(branch).members
            self.read[head] = {one.device_id: one.bundle.ed25519 for one in found}
        return self.read[head]

    @property
    def head(self) -> bytes:
        """The hash of the newest membership entry."""
        return self.hashes[-1]


def restored_known(rows: Sequence[bytes], limits: Limits) -> Known:
    """Return what the membership entries amount to, which are given in the order of their arrival."""
    chain = restored_chain(rows)
    inside = set(chain)
    lost = {hashlib.sha256(one).digest(): one for one in rows if one not in inside}
    return replace(read_known(chain, limits), lost=lost, newest=hashlib.sha256(rows[-1]).digest())


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
        newest=hashes[-1],
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


def first_with(signed: wire.Signed, known: Known, after: Known) -> Known:
    """Return the membership in which the signer may sign: before a batch or, enrolled by it, behind it."""
    try:
        signer_key(known, signed)
    except Refused:
        return after
    return known


def joined(known: Known, entries: Sequence[bytes], limits: Limits) -> tuple[Known, tuple[bytes, ...]]:
    """Return the membership with the entries, and those of them that are new.

    An entry that stands elsewhere than at the end parts the chain: what it ends outranks the chain and takes its place,
    or it is kept as one of a list that lost. Raises ``Refused``.
    """
    chain, numbers, lost, new = list(known.chain), dict(known.numbers), dict(known.lost), []
    for one in entries:
        own = hashlib.sha256(one).digest()
        if own in numbers or own in lost:
            continue
        new.append(one)
        before = _branch(chain, numbers, lost, _previous(one))
        if before is None:
            raise Refused(422, "gap", "a membership entry before this one is missing")
        if len(before) == len(chain) and before == chain:
            numbers[own] = len(chain)
            chain.append(one)
        elif _outranks([*before, one], chain):
            chain, numbers, lost = _in_place_of(chain, [*before, one], lost)
        else:
            lost[own] = one
    if not new:
        return known, ()
    found = replace(read_known(chain, limits), lost=lost, newest=hashlib.sha256(new[-1]).digest())
    _check_lost(found, new, limits)
    return found, tuple(new)


def _in_place_of(
    chain: list[bytes], longer: list[bytes], lost: dict[bytes, bytes]
) -> tuple[list[bytes], dict[bytes, int], dict[bytes, bytes]]:
    """Return the list that outranks the chain, the numbers of its entries, and what is off it from now on."""
    numbers = {hashlib.sha256(one).digest(): number for number, one in enumerate(longer)}
    off = lost | {hashlib.sha256(one).digest(): one for one in chain}
    return longer, numbers, {own: one for own, one in off.items() if own not in numbers}


def _check_lost(found: Known, new: Sequence[bytes], limits: Limits) -> None:
    """Check that what is added to lists that lost holds, and is not too much; what another outranked just now stays."""
    added = [one for one in (hashlib.sha256(each).digest() for each in new) if one in found.lost]
    for one in added:
        branch = found.branch(one)
        if branch is None or not _holds(branch):
            raise Refused(422, "bad-membership", "the list of devices does not hold")
    size = sum(map(len, found.lost.values()))
    if added and (len(found.lost) > limits.lost_entries or size > limits.lost_bytes):
        raise Refused(507, "quota", "the vault has more lists of devices that lost than this relay keeps")


def _branch(
    chain: Sequence[bytes], numbers: dict[bytes, int], lost: dict[bytes, bytes], head: bytes
) -> list[bytes] | None:
    """Return the list that ends with an entry, of the chain or off it; None if it is not here whole."""
    tail: list[bytes] = []
    while head not in numbers:
        one = lost.get(head)
        if one is None:
            return None
        tail.append(one)
        head = _previous(one)
    return [*chain[: numbers[head] + 1], *reversed(tail)]


def batch_rows(known: Known, parts: Sequence[wire.Part], new: frozenset[bytes]) -> tuple[Row, ...]:
    """Return the rows of a batch in its order, membership entries that are there already left out.

    ``new`` are those that are not. Raises ``Refused``.
    """
    rows = []
    for part in parts:
        if part.kind == wire.ENTRY:
            rows.append(checked_entry(known, part.data))
        elif part.data in new:
            rows.append(member_row(part.data))
    return tuple(rows)


def checked_entry(known: Known, data: bytes) -> Row:
    """Return the row of an entry whose signature and place in the membership hold; raises ``Refused``."""
    try:
        header = entry.read_header(data)
    except ForgedEntry:
        raise Refused(422, "bad-entry", "an entry is not built as entries are") from None
    if header.vault != known.vault:
        raise Refused(422, "bad-entry", "an entry belongs to another vault")
    if not entry.is_signed(header, _writer_key(known, header)):
        raise Refused(422, "bad-signature", "the signature of an entry does not hold")
    cut = cut_of(header)
    kind = ENTRY if cut is None else SNAP
    return Row(bytes.fromhex(header.device), header.seq, header.hash, header.before, kind, data, cut)


def _writer_key(known: Known, header: entry.Header) -> Ed25519PublicKey:
    """Return the key of the device that wrote an entry; raises ``Refused`` if it was no member when it did."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    standing, number = known.devices.get(header.device), known.numbers.get(header.membership)
    if number is not None:
        if standing is None or not standing.may_have_written(header.seq, number):
            raise _no_member()
        return standing.key
    members = known.members_of_lost(header.membership)
    if members is None:
        raise Refused(422, "unknown-membership", "an entry names a list of devices that the relay does not have")
    is_cut = standing is not None and standing.last is not None and header.seq > standing.last
    if header.device not in members or is_cut:
        raise _no_member()
    return Ed25519PublicKey.from_public_bytes(members[header.device])


def _no_member() -> Refused:
    return Refused(403, "not-a-member", "an entry is written by a device that was no member")


def member_row(data: bytes) -> Row:
    """Return the row of a membership entry, without its number, which is the database's to give."""
    return Row(NO_DEVICE, 0, hashlib.sha256(data).digest(), b"", MEMBER, data)


def restored_chain(rows: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the list that stands above all that the membership entries make, given in the order of their arrival."""
    by_hash = {hashlib.sha256(one).digest(): one for one in rows}
    followed = {_previous(one) for one in rows[1:]}
    best: tuple[bytes, ...] = (rows[0],)
    for last in (one for own, one in by_hash.items() if own not in followed):
        chain = [last]
        while chain[-1] != rows[0]:
            chain.append(by_hash[_previous(chain[-1])])
        ended = tuple(reversed(chain))
        best = ended if seniority.outranks(ended, best) else best
    return best


def _outranks(branch: Sequence[bytes], chain: Sequence[bytes]) -> bool:
    if not (_holds(branch) and _holds(chain)):
        raise Refused(422, "bad-membership", "the list of devices does not hold")
    return seniority.outranks(branch, chain)


def _holds(chain: Sequence[bytes]) -> bool:
    try:
        membership.read_chain(chain)
    except DamagedVault:
        return False
    return True


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
