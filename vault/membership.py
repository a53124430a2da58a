"""Who may write: a chain of signed entries that begins with the kit's root key and the first device.

An entry is three packed parts: body, signer keys, signatures. A body is packed too, in a fixed order:

    genesis   namespace, "genesis", made-at, root public key, its ML-DSA-65 key, device name, device bundle
              signed by the root and the device
    root      namespace, "root", made-at, vault id, hash of the entry before, old root public key, new root public key,
              the new one's ML-DSA-65 key, the new kit's age recipient
              signed by the new root and a member; by the old root as well if its kit was at hand
    enrol     namespace, "enrol", made-at, vault id, hash of the entry before, device name, device bundle
              signed by the root or a member, and by the new device
    revoke    namespace, "revoke", made-at, vault id, hash of the entry before, device id
              and, of a synced vault, the number (8) and hash of the last entry of its log that counts
              signed by the root or a member
    epoch     namespace, "epoch", made-at, vault id, hash of the entry before, epoch (4), commitment to its key (32),
              wraps, packed: each device id, suite (1), wrapped key (``vault.sync.epochs``), packed; a suite of 3 is
              for the kit, under the first 16 bytes of the SHA-256 of its recipient
              signed by the root or a member; the same epoch again brings its key to further devices
    lost      namespace, "lost", made-at, vault id, hash of the entry before, and the rest as of "epoch": the key of an
              epoch that a chain began which another outranked since, for members to whom it was not brought there
              signed by the root or a member; always under the newer namespace

Signer keys are Ed25519. Whoever has an ML-DSA-65 key in the chain signs every entry by both (``vault.signing``), and
one that he signed by Ed25519 alone is refused; so nobody takes a signature off, and a chain in which nobody has such a
key stays what it was. There the namespace is ``keyferry/membership/1``, without the ML-DSA-65 keys of roots; where one
of the signers has one it is ``keyferry/membership/2``. A chain may hold both.

An entry's hash is the SHA-256 of its bytes; the vault id is the first 16 bytes of the genesis entry's hash, so it
stands for exactly this root and this device. The signed bytes are the body; its namespace keeps signatures of other
kinds apart.

Rules: root and members are those of the entry before. Every signing key plays one part once: no device, and no root,
comes back after it was replaced or revoked. A member may revoke itself. The last member stays, so that somebody can
sign. An entry cut off at the end leaves a valid shorter chain: whoever compares chains finds that, not this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vault import crypto
from vault.device import Bundle, read_bundle, read_recipient
from vault.errors import DamagedVault, WrongKit
from vault.listentry import (
    CLASSIC,
    NAME_CHARS,
    NAMESPACE,
    exactly,
    fields,
    opened,
    time_in,
    wraps_in,
)
from vault.moment import Instant
from vault.text import clean

KIT_SUITE = 3
MOST_ENTRIES = 10_000
MOST_BYTES = 16 << 20
_NAME_BYTES = 4 * NAME_CHARS


@dataclass(frozen=True, slots=True)
class Member:
    """A device that may sign for the vault, or might until it was revoked; its name is safe to show."""

    device_id: str
    name: str
    bundle: Bundle
    since: Instant
    until: Instant | None = None
    last: tuple[int, bytes] | None = None  # number and hash of the last entry of its log that counts, once revoked
    enrolled_by: int = 0  # number of the membership entry that did it
    revoked_by: int | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """A root key and the entry that brought it; ``confirmed`` if the root before it signed that entry as well.

    ``mldsa65`` is its other public key, empty if it has none; ``by`` the device that signed the entry with it;
    ``recipient`` the kit's, empty if the entry does not tell it, as the first does not.
    """

    public: bytes
    number: int
    since: Instant
    confirmed: bool
    mldsa65: bytes = b""
    by: str = ""
    recipient: str = ""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A key of the vault by its number; ``wraps`` are (suite, wrapped key) by device id."""

    number: int
    commitment: bytes
    entry: int  # number of the membership entry that began it
    wraps: dict[str, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Membership:
    """What a chain amounts to; every signature and link in it holds, but its root is only what it says itself."""

    vault_id: str
    head: bytes
    height: int
    roots: tuple[Root, ...]
    members: tuple[Member, ...]
    revoked: tuple[Member, ...]
    epochs: tuple[Epoch, ...] = ()
    needs_epoch: bool = False  # a device was revoked since the newest epoch began
    lost: tuple[Epoch, ...] = ()  # of chains that were outranked; number and entry tell nothing of this chain

    @property
    def root(self) -> bytes:
        """The newest root's public key."""
        return self.roots[-1].public

    @property
    def root_publics(self) -> tuple[bytes, ...]:
        """The public keys of all roots that ever were."""
        return tuple(root.public for root in self.roots)

    def root_of(self, public: bytes) -> Root | None:
        """Return what the chain tells of a root key, be it the newest or a replaced one; None for a stranger's."""
        return next((root for root in self.roots if root.public == public), None)

    def knows(self, device_id: str) -> bool:
        """Tell whether a device is a member or was one."""
        return any(one.device_id == device_id for one in (*self.members, *self.revoked))

    def member(self, device_id: str) -> Member | None:
        """Return the member with this id, or None; a revoked device is no member."""
        return next((member for member in self.members if member.device_id == device_id), None)


@dataclass(slots=True)
class State:
    """What the entries read so far amount to; roots and devices by their signing keys, in order."""

    vault_id: str
    head: bytes
    root: bytes
    roots: dict[bytes, Root]
    members: dict[bytes, Member]
    revoked: dict[bytes, Member] = field(default_factory=dict)
    height: int = 1
    size: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    needs_epoch: bool = False
    lost: dict[bytes, Epoch] = field(default_factory=dict)  # by commitment
    strong: dict[bytes, bytes] = field(default_factory=dict)  # ML-DSA-65 keys by the Ed25519 keys beside them

    def may_sign(self, key: bytes) -> bool:
        return key == self.root or key in self.members

    def knows(self, key: bytes) -> bool:
        return key in self.members or key in self.revoked or key in self.roots

    def learn(self, brought: dict[bytes, bytes]) -> None:
        """Note the ML-DSA-65 keys that an entry brings; none plays two parts."""
        if len({*brought.values(), *self.strong.values()}) < len(brought) + len(self.strong):
            raise ValueError("a key that is there already")
        self.strong |= brought


def vault_id_of(chain: Sequence[bytes]) -> str:
    """Return the vault id the chain's first entry stands for, 32 hexadecimal digits."""
    return hashlib.sha256(chain[0]).digest()[:16].hex()


def head_of(chain: Sequence[bytes]) -> bytes:
    """Return the hash of the newest entry."""
    return hashlib.sha256(chain[-1]).digest()


def link_of(entry: bytes) -> bytes | None:
    """Return the hash of the entry that this one follows, None for a first one; nothing else of it is checked.

    Raises ``ValueError`` for what is no entry.
    """
    parts = crypto.unpacked(entry)
    if not parts:
        raise ValueError("not an entry")
    kind, _, *rest = fields(parts[0])
    if kind == b"genesis":
        return None
    if len(rest) < 2 or len(rest[1]) != 32:
        raise ValueError("not an entry")
    return rest[1]


def is_of_other_version(entry: bytes) -> bool:
    """Tell whether something is built like an entry, in a form of another number than those known here."""
    try:
        namespace = crypto.unpacked(crypto.unpacked(entry)[0])[0]
    except (ValueError, IndexError):
        return False
    return namespace.startswith(NAMESPACE[:-1]) and namespace not in (CLASSIC, NAMESPACE)


def epoch_in(entry: bytes) -> Epoch | None:
    """Return what an entry of the kind ``epoch`` says, None for any other; nothing of it is checked."""
    try:
        kind, _, *rest = fields(crypto.unpacked(entry)[0])
        if kind != b"epoch":
            return None
        number, commitment, packed = exactly(rest, 5)[2:]
        return Epoch(int.from_bytes(number, "big"), commitment, 0, wraps_in(packed))
    except (ValueError, IndexError):
        return None


def is_prefix(shorter: Sequence[bytes], longer: Sequence[bytes]) -> bool:
    """Tell whether the second chain begins with all entries of the first; so it does if both are the same.

    Two chains of which neither is a prefix of the other have parted: somebody signed twice after the same entry.
    """
    return len(shorter) <= len(longer) and all(a == b for a, b in zip(shorter, longer, strict=False))


def read_chain(chain: Sequence[bytes]) -> Membership:
    """Return what the chain amounts to after checking every signature and link; raises ``DamagedVault``.

    This proves no origin: the caller compares ``root`` with a kit, or the chain with one that it trusts.
    """
    state = state_of(chain)
    return Membership(
        vault_id=state.vault_id,
        head=state.head,
        height=state.height,
        roots=tuple(state.roots.values()),
        members=tuple(state.members.values()),
        revoked=tuple(state.revoked.values()),
        epochs=tuple(state.epochs),
        needs_epoch=state.needs_epoch,
        lost=tuple(state.lost.values()),
    )


def verify_membership(chain: Sequence[bytes], root_public: bytes) -> tuple[Member, ...]:
    """Return the members after checking every signature and link, oldest first.

    The trust comes from ``root_public`` alone, which must be the newest root of the chain. Raises ``WrongKit`` if it is
    another one, ``DamagedVault`` if anything in the chain does not hold.
    """
    found = read_chain(chain)
    if found.root != root_public:
        raise WrongKit("the vault's devices are signed by another kit", hint="use the newest kit of this vault")
    return found.members


def state_of(chain: Sequence[bytes]) -> State:
    """Return what the entries amount to, for one more to be taken; raises as ``read_chain``."""
    try:
        if not chain:
            raise ValueError("no entries")
        state = _first(chain[0])
        for entry in chain[1:]:
            take(state, entry)
    except ValueError:
        raise DamagedVault("the vault's list of devices is damaged or forged", hint="restore a backup") from None
    return state


def _first(entry: bytes) -> State:
    found = opened(entry, {})
    if found.kind != b"genesis":
        raise ValueError("not a first entry")
    root, *mldsa65, name, packed = exactly(found.rest, 4 if found.is_strong else 3)
    member = _member(name, packed, time_in(found.made_at))
    if found.signers != (root, member.bundle.ed25519) or root == member.bundle.ed25519:
        raise ValueError("a first entry signed by others")
    state = State(
        vault_id=vault_id_of([entry]),
        head=hashlib.sha256(entry).digest(),
        root=root,
        roots={root: Root(root, number=0, since=member.since, confirmed=True, mldsa65=b"".join(mldsa65))},
        members={member.bundle.ed25519: member},
        size=len(entry),
    )
    state.learn(found.brought)
    return state


def take(state: State, entry: bytes) -> None:
    """Add the entry to the state, which is spoiled if this raises ``ValueError``."""
    state.size += len(entry)
    if state.height >= MOST_ENTRIES or state.size > MOST_BYTES:
        raise ValueError("too long a chain")
    found = opened(entry, state.strong)
    kind, rest = found.kind, found.rest
    if len(rest) < 2 or kind not in _KINDS or rest[0].hex() != state.vault_id or rest[1] != state.head:
        raise ValueError("an entry that does not follow")
    if kind == b"root" and not found.is_strong:
        rest = (*rest, b"", b"")
    _KINDS[kind](state, time_in(found.made_at), rest[2:], found.signers)
    state.learn(found.brought)
    state.head = hashlib.sha256(entry).digest()
    state.height += 1


def _take_root(state: State, at: Instant, rest: Sequence[bytes], signers: tuple[bytes, ...]) -> None:
    old, new, mldsa65, recipient = exactly(rest, 4)
    if old != state.root or state.knows(new):
        raise ValueError("a root that does not follow")
    if len(signers) < 2 or signers[0] != new or signers[1] not in state.members or signers[2:] not in ((), (old,)):
        raise ValueError("a root signed by a stranger")
    state.root = new
    told = read_recipient(recipient) if recipient else ""
    by = state.members[signers[1]].device_id
    state.roots[new] = Root(new, state.height, at, confirmed=len(signers) == 3, mldsa65=mldsa65, by=by, recipient=told)


def _take_enrol(state: State, at: Instant, rest: Sequence[bytes], signers: tuple[bytes, ...]) -> None:
    name, packed = exactly(rest, 2)
    member = replace(_member(name, packed, at), enrolled_by=state.height)
    key = member.bundle.ed25519
    if len(signers) != 2 or not state.may_sign(signers[0]) or signers[1] != key or state.knows(key):
        raise ValueError("a device enrolled by a stranger, or once more")
    state.members[key] = member


def _take_revoke(state: State, at: Instant, rest: Sequence[bytes], signers: tuple[bytes, ...]) -> None:
    device_id, last = _revoked(rest)
    if len(signers) != 1 or not state.may_sign(signers[0]) or len(state.members) < 2:
        raise ValueError("a device revoked by a stranger, or the last one")
    for key, member in state.members.items():
        if member.device_id == device_id.hex():
            state.revoked[key] = replace(state.members.pop(key), until=at, last=last, revoked_by=state.height)
            state.needs_epoch = bool(state.epochs)
            return
    raise ValueError("no such device")


def _revoked(rest: Sequence[bytes]) -> tuple[bytes, tuple[int, bytes] | None]:
    if len(rest) == 1:
        return rest[0], None
    device_id, number, last = exactly(rest, 3)
    if len(number) != 8 or len(last) != 32:
        raise ValueError("a head that is none")
    return device_id, (int.from_bytes(number, "big"), last)


def _take_epoch(state: State, at: Instant, rest: Sequence[bytes], signers: tuple[bytes, ...]) -> None:
    brought = _key_brought(state, rest, signers)
    if brought.number == len(state.epochs):
        state.epochs.append(brought)
        state.needs_epoch = False
        return
    if brought.number > len(state.epochs):
        raise ValueError("an epoch that does not follow")
    state.epochs[brought.number] = _more(state.epochs[brought.number], brought)


def _take_lost(state: State, at: Instant, rest: Sequence[bytes], signers: tuple[bytes, ...]) -> None:
    brought = _key_brought(state, rest, signers)
    if any(one.commitment == brought.commitment for one in state.epochs):
        raise ValueError("an epoch that is not lost")
    known = state.lost.get(brought.commitment)
    state.lost[brought.commitment] = brought if known is None else _more(known, brought)


def _key_brought(state: State, rest: Sequence[bytes], signers: tuple[bytes, ...]) -> Epoch:
    """Return what an entry says of an epoch's key, which may be brought to members and kits only."""
    number, commitment, packed = exactly(rest, 3)
    if len(signers) != 1 or not state.may_sign(signers[0]) or len(number) != 4 or len(commitment) != 32:
        raise ValueError("an epoch signed by a stranger")
    wraps = wraps_in(packed)
    members = {member.device_id for member in state.members.values()}
    if any((suite == KIT_SUITE) == (device_id in members) for device_id, (suite, _) in wraps.items()):
        raise ValueError("a key for a stranger")
    return Epoch(int.from_bytes(number, "big"), commitment, state.height, wraps)


def _more(known: Epoch, brought: Epoch) -> Epoch:
    """Return an epoch whose key is brought to further devices."""
    if (known.number, known.commitment) != (brought.number, brought.commitment):
        raise ValueError("another epoch")
    if known.wraps.keys() & brought.wraps.keys():
        raise ValueError("a key that is there already")
    return replace(known, wraps={**known.wraps, **brought.wraps})


_KINDS = {
    b"root": _take_root,
    b"enrol": _take_enrol,
    b"revoke": _take_revoke,
    b"epoch": _take_epoch,
    b"lost": _take_lost,
}


def _member(name: bytes, packed: bytes, since: Instant) -> Member:
    if len(name) > _NAME_BYTES:
        raise ValueError("too long a name")
    bundle = read_bundle(packed)
    return Member(bundle.device_id, clean(name.decode("utf-8")), bundle, since)
