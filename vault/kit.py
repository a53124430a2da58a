"""The recovery kit: a 256-bit seed on paper that opens backups and, should the keyring lose the key, the vault.

The seed is an age X25519 identity, so any age tool opens what is sealed to it; HKDF turns it into the root signing
keys. The *classic* root is an Ed25519 key, the *strong* one another Ed25519 key and an ML-DSA-65 key; a vault has one
of them. Nobody learns the classic key of a kit whose vault has the strong one, so whoever breaks Ed25519 cannot make up
a classic list of devices for it.

The page is a valid age identity file (age refuses a BOM, indentation, and any line but the key without ``#``). Below
the key stand its characters in four numbered lines, each with two check characters, so that a typing error is found by
line.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vault import bech32, crypto, signing
from vault.errors import DamagedVault, WrongKit
from vault.moment import Instant
from vault.signing import Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

RECOVERY_MARK = "keyferry-vault-key-1"
_PREFIX = "age-secret-key-"
_ROOT_PREFIX = "kfroot"
_CLASSIC_PURPOSE, _STRONG_PURPOSE = "keyferry root signing key 1", "keyferry root signing key 2"
_MLDSA_PURPOSE = "keyferry root ML-DSA-65 key 2"
_KEY_CHARS = 58  # 52 for the seed, 6 for the checksum
_LINE_CHARS = 16
_IDENTITY = re.compile(r"AGE-?SECRET-?KEY-?[1IL]([0-9A-Z]{58})")
_TYPED = re.compile(r"^[#\s]*([1-4])\s*[:.]([0-9A-Z\s]+)/\s*([0-9A-Z])\s*([0-9A-Z])\s*$")
_VAULT_ID = re.compile(r"^[#\s]*VAULT ID\s*:\s*([0-9A-F]{32})\s*$")
_LOOKALIKE = str.maketrans({"O": "0", "I": "L", "1": "L", "B": "8"})  # the left ones do not exist in Bech32


@dataclass(frozen=True, repr=False)
class Kit:
    """A recovery seed and what follows from it; with the vault's id, where a whole page was read."""

    seed: bytes
    vault_id: str = field(default="", compare=False)

    @cached_property
    def identity(self) -> str:
        """The seed as an age identity; the secret itself."""
        return bech32.encode(_PREFIX, self.seed).upper()

    @cached_property
    def recipient(self) -> str:
        """The age recipient that backups are sealed to; public."""
        import pyrage

        return str(pyrage.x25519.Identity.from_str(self.identity).to_public())

    @property
    def key_id(self) -> str:
        """Eight hexadecimal digits to match a page with a vault."""
        return key_id(self.recipient)

    @cached_property
    def classic_root(self) -> Signer:
        """The root of a vault that began, or got this kit, where the library had no ML-DSA."""
        return Signer(_ed25519(self.seed, _CLASSIC_PURPOSE))

    @cached_property
    def strong_root(self) -> Signer:
        """The root of any other vault; without its ML-DSA public key where the library has none."""
        seed = crypto.derive(self.seed, _MLDSA_PURPOSE)
        return Signer(_ed25519(self.seed, _STRONG_PURPOSE), seed, signing.public_of(seed))

    @property
    def root(self) -> Signer:
        """The root for a new vault."""
        return self.strong_root if signing.has_mldsa65() else self.classic_root

    @property
    def root_public(self) -> bytes:
        """The 32 bytes by which the root of a new vault is known."""
        return self.root.public

    @property
    def roots(self) -> tuple[Signer, Signer]:
        """Both roots; a vault has one of them."""
        return self.classic_root, self.strong_root

    @property
    def root_publics(self) -> tuple[bytes, ...]:
        """The public keys of both."""
        return tuple(root.public for root in self.roots)

    def root_among(self, publics: Iterable[bytes]) -> Signer:
        """Return the root of this kit that is among these public keys, the one for a new vault if none is."""
        known = set(publics)
        return next((root for root in self.roots if root.public in known), self.root)

    def is_root(self, public: bytes, mldsa65: bytes) -> bool:
        """Tell whether a root with these public keys is this kit's, with neither of the two left out or replaced."""
        if public == self.classic_root.public:
            return not mldsa65
        known = self.strong_root.mldsa65 or mldsa65  # a library without ML-DSA believes what Ed25519 says
        return public == self.strong_root.public and bool(mldsa65) and mldsa65 == known


def new_kit() -> Kit:
    """Return a kit with a fresh random seed."""
    return Kit(crypto.new_key())


def key_id(recipient: str) -> str:
    """Return the first eight hexadecimal digits of the recipient's SHA-256."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:8]


def root_text(public: bytes) -> str:
    """Return a root public key as it is printed on the page and given to ``--root-key``."""
    return bech32.encode(_ROOT_PREFIX, public)


def root_public(text: str) -> bytes:
    """Return the bytes of a printed root public key; raises ``WrongKit``."""
    try:
        prefix, public = bech32.decode("".join(text.split()).lower())
    except ValueError:
        prefix, public = "", b""
    if prefix != _ROOT_PREFIX or len(public) != 32:
        raise WrongKit("that is no root key", hint="it begins with kfroot1 and stands on the kit's page")
    return public


def page(kit: Kit, *, name: str, vault_id: str, made_at: Instant, root: bytes = b"") -> str:
    """Return the page to save or print, an age identity file; ends with a newline.

    ``root`` is the one of its two public keys that the vault knows, if that is not the one of a new vault.
    """
    title = "".join(char if char.isprintable() else "?" for char in name)[:80]
    comments = [
        "Keyferry recovery kit",
        "",
        "Who has this page can open the vault and its backups. Keep it on paper or on a stick in a safe place,",
        "not beside the vault. Nobody can make it again.",
        "",
        f"vault:       {title}",
        f"vault id:    {vault_id}",
        f"key id:      {kit.key_id}",
        f"root key:    {root_text(root or kit.root_public)}",
        f"recipient:   {kit.recipient}",
        f"made at:     {made_at}",
        "",
        "The keyring lost the key:    keyferry unlock --kit THIS_FILE",
        "A backup, on any machine:    keyferry restore BACKUP --kit THIS_FILE",
        "All synced devices lost:     keyferry device join --kit THIS_FILE --relay URL",
        "A backup, without Keyferry:  age -d -i THIS_FILE BACKUP > backup.zip",
        "",
    ]
    typed = ["", "To type it by hand, these four lines will do; the last two characters check their line:", ""]
    drawn = ["", "The same as a QR code:", "", *_drawn(kit.identity)]
    lines = [
        *map(_comment, comments),
        kit.identity,
        *map(_comment, [*typed, *typed_lines(kit), *drawn]),
    ]
    return "\n".join(lines) + "\n"


def typed_lines(kit: Kit) -> tuple[str, ...]:
    """Return the key's characters as four lines to type, without the part that is always the same."""
    chars = kit.identity[-_KEY_CHARS:]
    cut = [chars[at : at + _LINE_CHARS] for at in range(0, _KEY_CHARS, _LINE_CHARS)]
    return tuple(
        f"{number}: {' '.join(part[at : at + 4] for at in range(0, len(part), 4))} / {_check(number, part)}"
        for number, part in enumerate(cut, 1)
    )


def parse(text: str) -> Kit:
    """Return the kit of a page, of its key alone or of the four typed lines; spaces and case do not matter.

    Raises ``WrongKit``, naming the line with a typing error where it can.
    """
    lines = unicodedata.normalize("NFKC", text.removeprefix("\ufeff")).upper().splitlines()
    typed = {found[1]: found for line in lines if (found := _TYPED.match(line))}
    content = "".join("".join(line.split()) for line in lines if not line.strip().startswith("#"))
    found = _IDENTITY.search(re.sub(r"[\u2010-\u2015\u2212]", "-", content))
    kit = _decoded(found[1]) if found else None
    if kit is None and typed:
        kit = _decoded(_from_lines(typed))
    if kit is None and (found or typed):
        raise WrongKit(
            "a character of the kit's key is mistyped",
            hint="type the four numbered lines of the page instead: they tell which line is wrong",
        )
    if kit is None:
        raise WrongKit("that is no recovery kit", hint="a kit has a line that begins with AGE-SECRET-KEY-1")
    told = next(filter(None, map(_VAULT_ID.match, lines)), None)
    return replace(kit, vault_id=told[1].lower()) if told else kit


def seal_recovery(recipient: str, vault_id: str, *keys: bytes) -> bytes:
    """Return the content of ``vault.recovery.age``: vault keys sealed to the kit, as lines of text inside.

    Two keys stand in it only while one takes the place of the other.
    """
    import pyrage

    text = "".join(f"{RECOVERY_MARK} {vault_id} {key.hex()}\n" for key in keys)
    return bytes(pyrage.encrypt(text.encode(), [pyrage.x25519.Recipient.from_str(recipient)]))


def open_recovery(data: bytes, kit: Kit) -> tuple[str, tuple[bytes, ...]]:
    """Return vault id and vault keys; raises ``WrongKit``, and ``DamagedVault`` for a file that is none."""
    import pyrage

    if not data.startswith(b"age-encryption.org/v1\n"):
        raise _damaged()
    try:
        text = pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(kit.identity)])
    except pyrage.DecryptError as error:
        # The text is one of a few fixed ones of the library; it holds nothing of the file.
        if "No matching keys" in str(error):
            raise WrongKit(
                f"this kit (key id {kit.key_id}) is not this vault's", hint="keyferry status shows the key id it needs"
            ) from None
        raise _damaged() from None
    lines = [line.split() for line in text.decode("ascii", "replace").splitlines()]
    if not lines or any(len(line) != 3 or line[0] != RECOVERY_MARK for line in lines):
        raise _damaged()
    try:
        keys = tuple(bytes.fromhex(line[2]) for line in lines)
    except ValueError:
        raise _damaged() from None
    if len({line[1] for line in lines}) != 1 or any(len(key) != crypto.KEY_BYTES for key in keys):
        raise _damaged()
    return lines[0][1], keys


def _ed25519(seed: bytes, purpose: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(crypto.derive(seed, purpose))


def _damaged() -> DamagedVault:
    return DamagedVault("vault.recovery.age is damaged", hint="a backup holds the vault as well: keyferry restore")


def _comment(line: str) -> str:
    return f"# {line}".rstrip()


def _check(number: int, part: str) -> str:
    """Return two characters that depend on the line's number and its characters."""
    digest = hashlib.sha256(f"keyferry kit line {number} {part}".encode()).digest()
    return (bech32.CHARS[digest[0] & 31] + bech32.CHARS[digest[1] & 31]).upper()


def _from_lines(typed: dict[str, re.Match[str]]) -> str:
    parts = []
    for number in range(1, 5):
        found = typed.get(str(number))
        if found is None:
            raise WrongKit(f"line {number} of the kit is missing", hint="type all four numbered lines")
        part = "".join(found[2].split()).translate(_LOOKALIKE)
        if _check(number, part) != (found[3] + found[4]).translate(_LOOKALIKE):
            raise WrongKit(f"line {number} of the kit is mistyped", hint="compare it with the page")
        parts.append(part)
    return "".join(parts)


def _decoded(chars: str) -> Kit | None:
    try:
        _, seed = bech32.decode(f"{_PREFIX}1{chars.translate(_LOOKALIKE).lower()}")
    except ValueError:
        return None
    return Kit(seed) if len(seed) == crypto.KEY_BYTES else None


def _drawn(text: str) -> list[str]:
    """Return a QR code in half blocks, two rows of it in each line."""
    import segno

    return drawn_rows(segno.make(text, error="m", micro=False, boost_error=False))


def drawn_rows(code: Any) -> list[str]:
    """Return the lines of a QR code in half blocks, two rows of it in each."""
    rows = [tuple(row) for row in code.matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append((0,) * len(rows[0]))
    blocks = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return ["".join(blocks[bool(top), bool(low)] for top, low in zip(*pair, strict=True)) for pair in pairs]
