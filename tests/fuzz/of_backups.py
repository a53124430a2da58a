"""Parsers of backups and kits: the age container, the ZIP inside, the manifest, the statement, kits, sealed keys."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from functools import cache

from backup import payload, sealing
from tests.backup import vector
from tests.fuzz import ground, mutating
from tests.fuzz.running import Parser, Wrong
from vault import crypto, keys, kit, kitfile, statement
from vault.errors import BackupError, DamagedVault, ForgedSignature, WrongKit, WrongPassphrase

_ROOTS = (vector.KIT.classic_root.public,)
_CASE, _OTHER = "household", "attachments"


def parsers() -> Iterable[Parser]:
    """Return them."""
    yield Parser("backup", _backup, _backups, (BackupError,), mutating.ON_TEXT)
    yield Parser("zip", _zip, _zips, (BackupError,), mutating.ON_BYTES)
    yield Parser("manifest", _manifest, _manifests, (BackupError,), mutating.ON_JSON)
    yield Parser("statement", _statement, _statements, (ForgedSignature,))
    yield Parser("kit", _kit, _pages, (WrongKit, WrongPassphrase), mutating.ON_TEXT)
    yield Parser("recovery", _recovery, _recoveries, (WrongKit, DamagedVault), (*mutating.ON_TEXT, _in_age, _in_age))
    yield Parser("passphrase", _passphrase, _passphrases, (DamagedVault,), mutating.ON_JSON)


@cache
def _vector() -> vector.Vector:
    return vector.vector()


# -- sets


@cache
def _backups() -> tuple[bytes, ...]:
    return (*ground.sets(_CASE), *ground.sets(_OTHER))


def _backup(data: bytes) -> str:
    found = payload.Found()
    reader = payload.read(found, None)
    identities = (ground.kit(_OTHER).identity, ground.kit(_CASE).identity)
    sealing.unseal(io.BufferedReader(io.BytesIO(data)), identities, reader)  # type: ignore[arg-type]
    if data not in _backups():
        raise Wrong("an altered set")
    return "the set"


@cache
def _zips() -> tuple[bytes, ...]:
    return (_vector().zip,)


def _zip(data: bytes) -> str:
    found = payload.Found()
    feed = sealing._Feed(payload.read(found, _ROOTS))
    feed.write(memoryview(data))
    feed.end()
    if data not in _zips():
        raise Wrong("an altered set")
    return "the set"


@cache
def _manifests() -> tuple[bytes, ...]:
    return (_vector().manifest,)


@cache
def _signed() -> keys.Signed:
    return keys.check_statement(_vector().signature, payload.PURPOSE, _vector().manifest, _ROOTS)


def _manifest(data: bytes) -> str:
    """Read what a device may sign: its own manifest, altered."""
    found = payload._manifest(data, _signed())
    json.dumps(payload.as_json(found))
    payload.encoded(found)
    return f"a manifest of {min(3, len(found.members))} parts or more"


@cache
def _statements() -> tuple[bytes, ...]:
    log = ground.log("both_signatures")
    return _vector().signature, statement.sign(log.laptop, log.chain, payload.PURPOSE, _vector().manifest)


def _statement(data: bytes) -> str:
    keys.check_statement(data, payload.PURPOSE, _vector().manifest, None)
    found = [one for one in _statements() if _head(one) == _head(data)]
    if not found:
        raise Wrong("an altered statement")
    return "the statement"


def _head(data: bytes) -> tuple[bytes, ...]:
    """Return a statement without its chain, which may end earlier: the signer is in it or not."""
    return crypto.unpacked(data)[:3]


# -- kits and sealed keys


@cache
def _pages() -> tuple[bytes, ...]:
    one = ground.kit(_CASE)
    typed = "\n".join(kit.typed_lines(one))
    sealed = (
        b"age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18\n"
        + b"A" * 43
        + b"\n--- "
        + b"A" * 43
        + b"\n"
        + bytes(64)
    )
    return ground.page(_CASE).encode(), one.identity.encode(), typed.encode(), sealed, typed.encode("utf-16")


def _refuse() -> str:
    raise WrongPassphrase("nobody is there to ask")


def _kit(data: bytes) -> str:
    found = kitfile.read_kit(data, _refuse)
    if len(found.seed) != 32:
        raise Wrong("a kit of another length")
    return "the kit" if found == ground.kit(_CASE) else "another kit"


@cache
def _recoveries() -> tuple[bytes, ...]:
    own = ground.kit(_CASE)
    other = ground.kit(_OTHER)
    return (
        kit.seal_recovery(own.recipient, "0" * 32, bytes(range(32))),
        kit.seal_recovery(own.recipient, "0" * 32, bytes(32), bytes(range(32))),
        kit.seal_recovery(other.recipient, "0" * 32, bytes(32)),
    )


def _in_age(random: mutating.Random, data: bytes, other: bytes) -> bytes:
    """Seal other lines to the kit: its recipient is no secret."""
    import pyrage

    line = b"keyferry-vault-key-1 " + b"0" * 32 + b" " + b"0" * 64 + b"\n"
    plain = mutating.mutated(random, mutating.ON_TEXT, line * random.choice((1, 2)), line)[1]
    return bytes(pyrage.encrypt(plain, [pyrage.x25519.Recipient.from_str(ground.kit(_CASE).recipient)]))


def _recovery(data: bytes) -> str:
    _, found = kit.open_recovery(data, ground.kit(_CASE))
    if not found or any(len(one) != 32 for one in found):
        raise Wrong("a key that is none")
    return f"{len(found)} keys" if len(found) < 3 else "many keys"


@cache
def _passphrases() -> tuple[bytes, ...]:
    return (crypto.wrap(bytes(32), "a passphrase", "0" * 32),)


def _passphrase(data: bytes) -> str:
    """Read what comes before Argon2id, which takes a quarter of a second."""
    head, nonce, sealed = crypto._read_wrap(data, "0" * 32)
    crypto._authenticated(head)
    if not 1 <= head["lanes"] <= crypto.MOST_LANES or len(nonce) != 12 or len(sealed) != 48:
        raise Wrong("parameters out of bounds")
    return "parameters"
