"""A kit as a file: its page as it is, or the page sealed under a passphrase.

A sealed kit is an age file with one scrypt recipient, so ``age -d FILE`` asks for the passphrase and gives the page. It
is written as text (ASCII armor) and read in both of age's forms. How much work the passphrase costs is said by the
file, and bounded *before* scrypt runs. The passphrase is taken in Unicode's form NFC, then as it was typed.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable

from vault.errors import UsageError, WrongKit, WrongPassphrase
from vault.kit import Kit, parse

MOST_WORK = 22  # as the age program: 4 GiB, 15 s
ARMOR_END = "-----END AGE ENCRYPTED FILE-----"
BINARY_MARK = "age-encryption.org/v1"
_BINARY = f"{BINARY_MARK}\n".encode()
_ARMOR = re.compile(rb"\s*-----BEGIN AGE ENCRYPTED FILE-----\s(.*)-----END AGE ENCRYPTED FILE-----\s*", re.DOTALL)
_SCRYPT = re.compile(rb"-> scrypt [A-Za-z0-9+/]{22} ([1-9][0-9]{0,9})\n[A-Za-z0-9+/]{43}\n--- ")
_WRONG = "Decryption failed"  # the library's own text


def seal_page(page: str, passphrase: str) -> bytes:
    """Return the page as an age file that asks for the passphrase; takes a second, and up to 2 GiB of memory.

    Raises ``UsageError`` for a passphrase that is empty or no text.
    """
    import pyrage

    if not passphrase:
        raise UsageError("the passphrase is empty")
    try:
        return bytes(pyrage.passphrase.encrypt(page.encode(), unicodedata.normalize("NFC", passphrase), armored=True))
    except UnicodeEncodeError:
        raise UsageError("the passphrase is no text that UTF-8 can hold") from None


def read_kit(data: bytes, ask: Callable[[], str]) -> Kit:
    """Return the kit of a file's content; ``ask`` gives the passphrase, and is called only for a sealed one.

    Raises ``WrongKit``, ``WrongPassphrase``.
    """
    return parse(page_of(data, ask))


def page_of(data: bytes, ask: Callable[[], str]) -> str:
    """Return the text of a kit's file, whatever its encoding, opened if it is sealed; raises as ``read_kit``."""
    plain = data.removeprefix(b"\xef\xbb\xbf")
    if plain.startswith(_BINARY):
        return _unsealed(plain, ask)
    if plain.lstrip().startswith(b"-----BEGIN AGE"):
        return _unsealed(_without_armor(plain), ask)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return data.decode(encoding, "replace")


def _unsealed(data: bytes, ask: Callable[[], str]) -> str:
    _check_work(data)
    passphrase = ask()
    for spelled in dict.fromkeys((unicodedata.normalize("NFC", passphrase), passphrase)):
        page = _opened(data, spelled)
        if page is not None:
            return page.decode("utf-8", "replace")
    raise WrongPassphrase(
        "the passphrase does not open the sealed kit", hint="try again; the kit on paper needs no passphrase"
    )


def _opened(data: bytes, passphrase: str) -> bytes | None:
    import pyrage

    try:
        return bytes(pyrage.passphrase.decrypt(data, passphrase))
    except UnicodeEncodeError:
        return None
    except pyrage.DecryptError as error:
        # The text is one of a few fixed ones of the library; it holds nothing of the file.
        if str(error) == _WRONG:
            return None
        raise _damaged() from None


def _check_work(data: bytes) -> None:
    """Check that the file asks for a passphrase and for bearable work; raises ``WrongKit``."""
    head = _SCRYPT.match(data, len(_BINARY))
    if head is None:
        raise WrongKit(
            "this age file is no kit: it is not sealed under a passphrase alone",
            hint="a kit is the page, or what keyferry kit save --sealed wrote",
        )
    if int(head[1]) > MOST_WORK:
        raise WrongKit(
            f"the sealed kit asks for more work than is safe: 2^{int(head[1])} rounds of scrypt, at most 2^{MOST_WORK}",
            hint="use the kit on paper, or another copy of this file",
        )


def _without_armor(data: bytes) -> bytes:
    found = _ARMOR.fullmatch(data)
    try:
        plain = base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""
    except binascii.Error:
        plain = b""
    if not plain.startswith(_BINARY):
        raise _damaged()
    return plain


def _damaged() -> WrongKit:
    return WrongKit("the sealed kit is damaged", hint="use the kit on paper, or another copy of this file")
