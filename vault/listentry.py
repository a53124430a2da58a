"""One entry of the list of devices: its parts packed and taken out, its signatures made and checked.

What an entry means in its place is told in ``vault.membership``, which also has the form of each kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vault import crypto, signing
from vault.device import read_bundle
from vault.moment import Instant, is_instant
from vault.signing import Signer

CLASSIC, NAMESPACE = b"keyferry/membership/1", b"keyferry/membership/2"
NAME_CHARS = 64
MOST_ENTRY_BYTES = 128 << 10
_TIME_BYTES = 30
_MOST_SIGNERS = 3


def signed(body: bytes, *signers: Signer) -> bytes:
    """Return the entry of a body, signed by each with all of its keys."""
    keys = crypto.packed(*(one.public for one in signers))
    return crypto.packed(body, keys, crypto.packed(*(one.sign(body) for one in signers)))


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry whose signatures all hold; ``brought`` are the ML-DSA-65 keys that are new in it."""

    is_strong: bool
    kind: bytes
    made_at: bytes
    rest: tuple[bytes, ...]
    signers: tuple[bytes, ...]
    brought: dict[bytes, bytes]


def opened(entry: bytes, strong: dict[bytes, bytes]) -> Opened:
    """Return the entry, its signatures checked by the ML-DSA-65 keys that are known as well."""
    if len(entry) > MOST_ENTRY_BYTES:
        raise ValueError("too long an entry")
    parts = crypto.unpacked(entry)
    if len(parts) != 3:
        raise ValueError("not an entry")
    body, signers, signatures = parts[0], crypto.unpacked(parts[1]), crypto.unpacked(parts[2])
    if not 0 < len(signers) == len(signatures) <= _MOST_SIGNERS:
        raise ValueError("signers and signatures differ")
    kind, made_at, *rest = fields(body)
    is_strong = body.startswith(crypto.packed(NAMESPACE))
    brought = _brought(kind, rest, is_strong)
    keys = tuple(strong.get(one) or brought.get(one, b"") for one in signers)
    if (any(keys) or kind == b"lost") and not is_strong:
        raise ValueError("an entry of a form without these keys")
    _check(entry, body, signers, keys, signatures)
    return Opened(is_strong, kind, made_at, tuple(rest), signers, brought)


def _check(
    entry: bytes, body: bytes, signers: Sequence[bytes], keys: tuple[bytes, ...], signatures: Sequence[bytes]
) -> None:
    """Check the signatures, unless that was done before; raises ``ValueError``."""
    name = signing.name_of(entry, keys)
    if not _HELD.knows(name):
        for signer, key, signature in zip(signers, keys, signatures, strict=True):
            signing.check(signer, key, signature, body)
        _HELD.note(name)


_HELD = signing.Held()


def _brought(kind: bytes, rest: Sequence[bytes], is_strong: bool) -> dict[bytes, bytes]:
    """Return the ML-DSA-65 keys that an entry brings, by the Ed25519 keys beside them."""
    found: dict[bytes, bytes] = {}
    if kind in (b"genesis", b"enrol") and rest:
        bundle = read_bundle(rest[-1])
        found[bundle.ed25519] = bundle.mldsa65
    if kind in (b"genesis", b"root") and is_strong:
        public, mldsa65 = exactly(rest, 4)[:2] if kind == b"genesis" else exactly(rest, 6)[3:5]
        found[public] = mldsa65
    if any(len(key) not in (0, signing.PUBLIC_BYTES) for key in found.values()):
        raise ValueError("a key of the wrong length")
    return {public: key for public, key in found.items() if key}


def fields(body: bytes) -> tuple[bytes, ...]:
    """Return the body's parts behind the namespace: kind, time and what the kind has."""
    namespace, *rest = crypto.unpacked(body) or (b"",)
    if namespace not in (CLASSIC, NAMESPACE) or len(rest) < 2:
        raise ValueError("an unknown entry")
    return tuple(rest)


def exactly(rest: Sequence[bytes], count: int) -> tuple[bytes, ...]:
    """Return the parts, which are so many; raises ``ValueError``."""
    if len(rest) != count:
        raise ValueError("an entry with other parts")
    return tuple(rest)


def time_in(made_at: bytes) -> Instant:
    """Return the time in an entry; raises ``ValueError``."""
    text = made_at.decode("ascii")
    if len(text) > _TIME_BYTES or not text.endswith("Z") or not is_instant(text):
        raise ValueError("not a time")
    return text


def name_bytes(name: str) -> bytes:
    """Return the name of a device as it stands in an entry, cut if it is too long."""
    return name[:NAME_CHARS].encode("utf-8", "replace")


def wraps_in(packed: bytes) -> dict[str, tuple[int, bytes]]:
    """Return (suite, wrapped key) by device id; raises ``ValueError``."""
    wraps = {}
    for one in crypto.unpacked(packed):
        device_id, suite, data = exactly(crypto.unpacked(one), 3)
        if len(device_id) != 16 or suite not in (b"\x01", b"\x02", b"\x03") or device_id.hex() in wraps:
            raise ValueError("a wrapped key that is none")
        wraps[device_id.hex()] = (suite[0], data)
    return wraps


def packed_wraps(wraps: dict[str, tuple[int, bytes]]) -> bytes:
    """Return wraps as they stand in an entry."""
    packed = (crypto.packed(bytes.fromhex(one), bytes([suite]), data) for one, (suite, data) in wraps.items())
    return crypto.packed(*packed)


def signers_of(entry: bytes) -> tuple[bytes, ...]:
    """Return the signing keys of an entry that holds."""
    return crypto.unpacked(crypto.unpacked(entry)[1])


def kind_of(entry: bytes) -> bytes:
    """Return the kind of an entry that holds."""
    return fields(crypto.unpacked(entry)[0])[0]
