"""One-time codes: what to type now, and whether two tokens are the same. The door to everything about them.

Plain HOTP and TOTP (RFC 4226, RFC 6238) go through ``pyotp`` where it accepts the seed; it refuses seeds under 112
bits, which are everywhere, and knows neither Steam nor Yandex nor mOTP: those are computed here
(dossier: authenticators 1). A weak token is never refused. Steam, Yandex and mOTP have fixed numbers: their own
period, length and hash count, whatever ``period``, ``digits`` and ``algorithm`` say.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

from vault.base32 import decode_secret, encode_secret, is_secret
from vault.errors import NoCode
from vault.model import Totp
from vault.otpauth import means_same, parse, steam_uri, text_of, uri

__all__ = [
    "code",
    "decode_secret",
    "encode_secret",
    "is_secret",
    "parse",
    "same_codes",
    "seconds_left",
    "steam_uri",
    "text_of",
    "uri",
]

INSTANTS = (59, 1111111109, 2000000000)  # UNIX seconds at which codes are compared; from RFC 6238, appendix B

_HASHES: dict[str, Callable[..., hashlib._Hash]] = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "md5": hashlib.md5,
}
_FIXED_PERIODS = {"steam": 30, "yandex": 30, "motp": 10}
_STEAM_LETTERS = "23456789BCDFGHJKMNPQRTVWXY"
_LEAST_PYOTP_BYTES = 14
_LAST_COUNTER = 2**64 - 1


def code(totp: Totp, at: int) -> str:
    """Return the code at UNIX seconds (HOTP: at its counter); raises ``NoCode`` where there is none."""
    if totp.kind in ("totp", "hotp"):
        return _plain(totp, _step(totp, at))
    if totp.kind == "steam":
        return _steam(_key(totp), _step(totp, at))
    if totp.kind == "yandex":
        return _yandex(_key(totp), _pin(totp), _step(totp, at))
    if totp.kind == "motp":
        return _motp(totp, _step(totp, at))
    raise NoCode("the kind of this one-time code is not known")


def seconds_left(totp: Totp, at: int) -> int | None:
    """Return how many seconds the code of UNIX seconds ``at`` stays valid; None where time plays no part."""
    period = _period(totp)
    return None if period is None or period < 1 else period - at % period


def same_codes(a: Totp, b: Totp) -> bool:
    """Tell whether two tokens give equal codes at three fixed instants (HOTP: at three counters from their own).

    Where neither gives any code, as without a PIN, they are the same if all their members are.
    """
    ours, theirs = _three_codes(a), _three_codes(b)
    if any(ours) or any(theirs):
        return (a.kind == "hotp") == (b.kind == "hotp") and ours == theirs
    return means_same(a, b)


def _three_codes(totp: Totp) -> list[str | None]:
    if totp.kind == "hotp":
        return [_code_or_none(_at_counter(totp, (totp.counter or 0) + n), 0) for n in range(3)]
    return [_code_or_none(totp, at) for at in INSTANTS]


def _at_counter(totp: Totp, counter: int) -> Totp:
    return Totp(kind="hotp", secret=totp.secret, digits=totp.digits, algorithm=totp.algorithm, counter=counter % 2**64)


def _code_or_none(totp: Totp, at: int) -> str | None:
    try:
        return code(totp, at)
    except NoCode:
        return None


def _period(totp: Totp) -> int | None:
    return totp.period if totp.kind == "totp" else _FIXED_PERIODS.get(totp.kind)


def _step(totp: Totp, at: int) -> int:
    """Return the moving factor: the stored counter, or the number of periods since 1970."""
    period = _period(totp)
    if period is not None and period < 1:
        raise NoCode("the one-time code has a period of no seconds", hint="set it to what the service asks, mostly 30")
    step = (totp.counter or 0) if period is None else at // period
    if not 0 <= step <= _LAST_COUNTER:
        raise NoCode("the counter or the time is out of the range that one-time codes have")
    return step


def _key(totp: Totp) -> bytes:
    try:
        return decode_secret(totp.secret.reveal())
    except ValueError:
        raise NoCode(
            "the secret of this one-time code is not base32", hint="take it again from the page that showed the QR code"
        ) from None


def _pin(totp: Totp) -> bytes:
    if totp.pin is None:
        raise NoCode("this one-time code needs a PIN, and the vault has none", hint="add the PIN to the item")
    return totp.pin.reveal().encode("utf-8", "surrogatepass")


def _plain(totp: Totp, step: int) -> str:
    key, digits, hash_of = _key(totp), totp.digits, _HASHES.get(totp.algorithm.lower())
    if hash_of is None:
        raise NoCode("the algorithm of this one-time code is not known", hint="SHA1, SHA256, SHA512 and MD5 are")
    if not 1 <= digits <= 10:
        raise NoCode("a one-time code has 1 to 10 digits")
    if len(key) >= _LEAST_PYOTP_BYTES and digits >= 6 and hash_of is not hashlib.md5:
        import pyotp

        return pyotp.OTP(encode_secret(key), digits=digits, digest=hash_of).generate_otp(step)
    return str(_number(key, step, hash_of, 4) % 10**digits).rjust(digits, "0")


def _number(key: bytes, step: int, hash_of: Callable[..., hashlib._Hash], width: int) -> int:
    """Return the dynamically truncated MAC (RFC 4226, 5.3) of that many bytes, its top bit cleared."""
    mac = hmac.digest(key, step.to_bytes(8, "big"), hash_of)
    offset = mac[-1] & 15
    if offset + width > len(mac):  # an MD5 MAC has 16 bytes; the standard was made for 20
        raise NoCode("MD5 gives no code at this step", hint="try again with the next code")
    return int.from_bytes(mac[offset : offset + width], "big") & (1 << (8 * width - 1)) - 1


def _steam(key: bytes, step: int) -> str:
    number, letters = _number(key, step, hashlib.sha1, 4), ""
    for _ in range(5):
        number, letter = divmod(number, len(_STEAM_LETTERS))
        letters += _STEAM_LETTERS[letter]
    return letters


def _yandex(secret: bytes, pin: bytes, step: int) -> str:
    if len(secret) < 16:
        raise NoCode("the secret of this Yandex code is too short", hint="it has at least 26 letters")
    key = hashlib.sha256(pin + secret[:16]).digest()
    if key[0] == 0:  # Yandex's own rule, once
        key = key[1:]
    number, letters = _number(key, step, hashlib.sha256, 8) % 26**8, ""
    for _ in range(8):
        number, letter = divmod(number, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


def _motp(totp: Totp, step: int) -> str:
    secret = totp.secret.reveal().lower()
    if not re.fullmatch(r"[0-9a-f]+", secret):
        raise NoCode("the secret of this mOTP code is not hexadecimal")
    return hashlib.md5(f"{step}{secret}".encode("ascii") + _pin(totp), usedforsecurity=False).hexdigest()[:6]
