"""Makes the next entry of a vault's list of devices; ``vault.membership`` tells what each kind means.

Whoever signs does so with all the keys by which the list knows it. What would not be taken by every reader of the list
is refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from vault import crypto, signing
from vault.device import Bundle, Device
from vault.errors import KeyferryError, UsageError, WrongKit
from vault.listentry import CLASSIC, NAMESPACE, fields, name_bytes, packed_wraps, signed
from vault.membership import State, state_of, take
from vault.moment import Instant
from vault.signing import Signer


def genesis(root: Signer, device: Device, *, name: str, now: Instant) -> bytes:
    """Return the first entry: the root certifies the first device."""
    strong = root.mldsa65 or device.mldsa65
    keys = (root.public, root.mldsa65) if strong else (root.public,)
    head = (NAMESPACE if strong else CLASSIC, b"genesis", now.encode())
    return signed(crypto.packed(*head, *keys, name_bytes(name), device.bundle.packed), root, device.signer)


def new_root(
    chain: Sequence[bytes],
    root: Signer,
    device: Device,
    *,
    now: Instant,
    old: Signer | None = None,
    recipient: str = "",
) -> bytes:
    """Return the entry that puts a new root in the place of the old one; new root and device sign it, and ``old``.

    With the new kit's recipient it has the newer form, whoever signs.

    Raises ``WrongKit`` if ``old`` is not the root, ``UsageError`` if the device is no member, ``DamagedVault``.
    """
    state = state_of(chain)
    if old is not None and old.public != state.root:
        raise WrongKit("the old kit is not the newest one of this vault", hint="keyferry status shows its key id")
    signers = (root, _as_known(state, device.signer), *((_as_known(state, old),) if old else ()))
    is_strong = bool(recipient) or any(one.mldsa65 for one in signers)
    keys = (root.public, root.mldsa65, recipient.encode()) if is_strong else (root.public,)
    body = _body(state, b"root", now, state.root, *keys, by=signers, strong=is_strong)
    return _next(state, signed(body, *signers))


def enrol(chain: Sequence[bytes], device: Device, *, name: str, by: Signer, now: Instant) -> bytes:
    """Return the entry that makes the device a member; ``by`` is the root's key or a member's.

    Raises ``UsageError`` if the device was a member before or ``by`` is none, ``WrongKit`` if ``by`` is a replaced
    root, ``DamagedVault``.
    """
    state = state_of(chain)
    signers = (_as_known(state, by), device.signer)
    if state.knows(device.bundle.ed25519):
        raise UsageError(
            "this device was enrolled before", hint="a device that comes back gets a new identity: keyferry restore"
        )
    body = _body(state, b"enrol", now, name_bytes(name), device.bundle.packed, by=signers)
    return _next(state, signed(body, *signers))


def propose(chain: Sequence[bytes], bundle: Bundle, *, by: Signer, now: Instant) -> tuple[bytes, bytes]:
    """Return the body of an enrolment and this side's signature; the new device adds its own by ``countersign``.

    Raises as ``enrol``.
    """
    state = state_of(chain)
    signer = _as_known(state, by)
    if state.knows(bundle.ed25519):
        raise UsageError("this device was enrolled before", hint="a device that comes back gets a new identity")
    body = _body(state, b"enrol", now, b"", bundle.packed, by=(signer, bundle))
    return body, signer.sign(body)


def countersign(body: bytes, device: Device) -> bytes:
    """Return the new device's signature, if the body enrols just this device; raises ``UsageError``."""
    try:
        kind, _, *rest = fields(body)
    except ValueError:
        kind, rest = b"", []
    if kind != b"enrol" or len(rest) != 4 or rest[3] != device.bundle.packed:
        raise UsageError("that enrols another device")
    return device.signer.sign(body)


def countersigned(body: bytes, by: bytes, signature: bytes, new: bytes, answer: bytes) -> bytes:
    """Return the entry of a proposed enrolment; whether both signatures hold is for the chain's readers to find."""
    return crypto.packed(body, crypto.packed(by, new), crypto.packed(signature, answer))


def revoke(
    chain: Sequence[bytes],
    device_id: str,
    *,
    by: Signer,
    now: Instant,
    last: tuple[int, bytes] | None = None,
) -> bytes:
    """Return the entry that ends a membership for good; ``by`` is the root's key or a member's, be it its own.

    ``last`` is the number and hash of the last entry of its log that counts; (0, zeros) if none does.

    Raises ``UsageError`` if there is no such member, or no other, and as ``enrol``.
    """
    state = state_of(chain)
    signer = _as_known(state, by)
    if all(member.device_id != device_id for member in state.members.values()):
        raise UsageError("no device of the vault has this id")
    if len(state.members) == 1:
        raise UsageError("the vault's only device cannot be revoked", hint="enrol another one first")
    upto = () if last is None else (last[0].to_bytes(8, "big"), last[1])
    body = _body(state, b"revoke", now, bytes.fromhex(device_id), *upto, by=(signer,))
    return _next(state, signed(body, signer))


def begin_epoch(
    chain: Sequence[bytes],
    number: int,
    commitment: bytes,
    wraps: dict[str, tuple[int, bytes]],
    *,
    by: Signer,
    now: Instant,
) -> bytes:
    """Return the entry that brings an epoch's key to devices: the next epoch, or one that is there, to further devices.

    ``wraps`` are (suite, wrapped key) by device id. Raises ``UsageError``, ``WrongKit``, ``DamagedVault``.
    """
    state = state_of(chain)
    signer = _as_known(state, by)
    parts = (number.to_bytes(4, "big"), commitment, packed_wraps(wraps))
    return _next(state, signed(_body(state, b"epoch", now, *parts, by=(signer,)), signer))


def bring_lost(
    chain: Sequence[bytes],
    number: int,
    commitment: bytes,
    wraps: dict[str, tuple[int, bytes]],
    *,
    by: Signer,
    now: Instant,
) -> bytes:
    """Return the entry that brings the key of an epoch of an outranked chain to devices; raises as ``begin_epoch``."""
    state = state_of(chain)
    signer = _as_known(state, by)
    parts = (number.to_bytes(4, "big"), commitment, packed_wraps(wraps))
    return _next(state, signed(_body(state, b"lost", now, *parts, by=(signer,), strong=True), signer))


def _body(
    state: State, kind: bytes, now: Instant, *rest: bytes, by: Sequence[Signer | Bundle], strong: bool = False
) -> bytes:
    namespace = NAMESPACE if strong or any(one.mldsa65 for one in by) else CLASSIC
    return crypto.packed(namespace, kind, now.encode(), bytes.fromhex(state.vault_id), state.head, *rest)


def _next(state: State, entry: bytes) -> bytes:
    """Return the entry after making sure that every reader takes it."""
    try:
        take(state, entry)
    except ValueError:
        raise UsageError("the vault's list of devices cannot take this entry") from None
    return entry


def _as_known(state: State, by: Signer) -> Signer:
    """Return the signer with the keys that the chain knows of it; raises ``WrongKit`` or ``UsageError``."""
    key = by.public
    if not state.may_sign(key):
        raise _refusal(state, key)
    strong = state.strong.get(key, b"")
    if not strong:
        return Signer(by.ed25519)
    if strong != by.mldsa65 or not signing.has_mldsa65():
        raise UsageError(
            "the list of devices wants a signature by ML-DSA-65, and the cryptography library here has none",
            hint="install cryptography 48 or newer from PyPI, or do this on another device",
        )
    return by


def _refusal(state: State, key: bytes) -> KeyferryError:
    roots = list(state.roots.values())
    for before, after in pairwise(roots):
        if before.public == key:
            return WrongKit(f"this kit was replaced on {after.since[:10]}", hint="use the newest kit of this vault")
    if key in state.revoked:
        day = (state.revoked[key].until or "")[:10]
        return UsageError(f"this device was revoked on {day}", hint="keyferry restore makes it a new one")
    return UsageError("neither a kit nor a device of this vault signs this")
