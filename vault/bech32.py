"""Bech32 (BIP-173): bytes as text with a checksum that finds up to four wrong characters.

The 90-character limit of the standard is not applied: age's plugin names go beyond it as well.
"""

from __future__ import annotations

CHARS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def encode(prefix: str, data: bytes) -> str:
    """Return the lower-case text of the bytes behind the prefix."""
    values = _regroup(data, 8, 5, pad=True)
    check = _checksum([*_expand(prefix), *values, 0, 0, 0, 0, 0, 0]) ^ 1
    tail = [(check >> 5 * (5 - place)) & 31 for place in range(6)]
    return f"{prefix}1{''.join(CHARS[value] for value in (*values, *tail))}"


def decode(text: str) -> tuple[str, bytes]:
    """Return prefix and bytes; raises ``ValueError``, without content, if any character is wrong."""
    if text != text.lower() and text != text.upper():
        raise ValueError("upper and lower case are mixed")
    prefix, values = split(text.lower())
    return prefix, bytes(_regroup(bytes(values), 5, 8, pad=False))


def split(text: str) -> tuple[str, list[int]]:
    """Return prefix and five-bit values without the checksum; raises ``ValueError`` if that is wrong."""
    prefix, mark, tail = text.rpartition("1")
    if not mark or not prefix or len(tail) < 6 or any(not "!" <= char <= "~" for char in prefix):
        raise ValueError("not a Bech32 text")
    if any(char not in CHARS for char in tail):
        raise ValueError("a character that Bech32 does not use")
    values = [CHARS.index(char) for char in tail]
    if _checksum([*_expand(prefix), *values]) != 1:
        raise ValueError("the checksum is wrong")
    return prefix, values[:-6]


def _expand(prefix: str) -> list[int]:
    return [*(ord(char) >> 5 for char in prefix), 0, *(ord(char) & 31 for char in prefix)]


def _checksum(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, constant in enumerate(_GENERATOR):
            check ^= constant if top >> place & 1 else 0
    return check


def _regroup(data: bytes, have: int, want: int, *, pad: bool) -> list[int]:
    held = bits = 0
    out = []
    for value in data:
        held = (held << have | value) & 0xFFFF
        bits += have
        while bits >= want:
            bits -= want
            out.append(held >> bits & ((1 << want) - 1))
    rest = held & ((1 << bits) - 1)
    if pad:
        return [*out, rest << (want - bits)] if bits else out
    if bits >= have or rest:
        raise ValueError("the last group is not filled with zeros")
    return out
