"""The lenient reading of one-time code tokens, with a repair for each malformed shape that real products write.

- A number that is missing, empty, ``null`` or 0 is the default; one that is no number makes the text no token.
- Steam is the type ``steam``, ``encoder=steam`` (KeePassXC, pyotp), a bare ``steam`` (Stratum), or the issuer
  ``Steam`` without another number of digits than 5 (FreeOTP+, Stratum).
- A parameter nobody here knows is kept in ``Totp.parameters``; so is, as ``label_issuer``, an issuer that the label
  names and that differs from ``issuer=``.

Sources: dossier, authenticators 1, 2 and 18.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from vault.base32 import decode_secret, encode_secret
from vault.model import Totp
from vault.secret import Secret

_TYPES = {"totp": "totp", "hotp": "hotp", "steam": "steam", "yaotp": "yandex", "motp": "motp"}
DEFAULTS = {  # period in seconds, digits, algorithm
    "totp": (30, 6, "sha1"),
    "hotp": (30, 6, "sha1"),
    "steam": (30, 5, "sha1"),
    "yandex": (30, 8, "sha256"),
    "motp": (10, 6, "md5"),
}
# msgspec leaves a default text out of JSON only if it is the same object, so these constants are handed out.
_ALGORITHMS = {name: name for name in ("sha1", "sha256", "sha512", "md5")}
_KNOWN = frozenset({"secret", "issuer", "algorithm", "digits", "period", "counter", "pin"})
_KEEOTP = {
    "key": "secret",
    "size": "digits",
    "step": "period",
    "otphashmode": "algorithm",
    "type": "type",
    "encoding": "encoding",
}
_KEEOTP_PAIRS = re.compile(r"(?:\w+=[^&]*&)*(?:key|secret)=", re.IGNORECASE)
_URI = re.compile(r"(?:apple-)?(otpauth|steam|motp):/*(.*)", re.IGNORECASE | re.DOTALL)
_TYPE_AND_REST = re.compile(r"([a-z]+)(?:/+|(?=\?)|\Z)(.*)", re.IGNORECASE | re.DOTALL)
_QUERY = re.compile(r"\?(?=\w+(?:[=&]|\Z))")
_GLUED = re.compile(r"(secret|algorithm|digits|period|counter)=")
ENTITY = re.compile(r"&(amp|lt|gt|quot|#39);")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "#39": "'"}
_NUMBER = re.compile(r"(\d{1,20})(?:\.0*)?", re.ASCII)
_AS_WE_WRITE_IT = re.compile(r"(?:[A-Z2-7]{8})+")
_NO_NUMBER = frozenset({"", "null", "none", "undefined", "nan"})
NOT_STEAM = "decimal"  # our own ``encoder``: five plain digits although the issuer is Steam


def read(text: str) -> Totp:
    """Return the token without its source text; raises ``ValueError``, whose message may hold content."""
    text = text.strip().lstrip("\ufeff").strip()
    if text[:10].lower() == "otpauth%3a":
        text = _unquote(text)
    found = _URI.fullmatch(text)
    if not found:
        return _from_pairs(text) if _KEEOTP_PAIRS.match(text) else Totp(secret=_secret(text, "totp"))
    scheme, rest = found[1].lower(), found[2]
    if scheme == "steam":
        return Totp(kind="steam", digits=5, secret=_secret(rest.rstrip("/"), "steam"))
    if scheme == "motp":
        return _from_uri("motp", rest)
    typed = _TYPE_AND_REST.fullmatch(rest)
    if not typed or typed[1].lower() not in _TYPES:
        raise ValueError("unknown type")
    return _from_uri(_TYPES[typed[1].lower()], typed[2])


def _from_pairs(text: str) -> Totp:
    """Read KeeOtp's text, a query string without address."""
    known, unknown = _sorted_out([(_KEEOTP.get(name.lower(), name), value) for name, value in _pieces(text)])
    kind = _TYPES.get(unknown.pop("type", "totp").lower())
    decode = _ENCODINGS.get(unknown.pop("encoding", "base32").lower())
    if kind is None or decode is None:
        raise ValueError("unknown type or encoding")
    if kind != "motp":
        known["secret"] = encode_secret(decode(known.get("secret", "")))
    return _built(kind, known, unknown, known.get("issuer", "").strip(), None)


def _from_base64(text: str) -> bytes:
    import base64

    return base64.b64decode(text.replace(" ", "+"), validate=True)  # a plus was read as a space


_ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "base32": decode_secret,
    "hex": bytes.fromhex,
    "base64": _from_base64,
    "utf8": lambda text: text.encode("utf-8", "surrogatepass"),
}


def _from_uri(kind: str, rest: str) -> Totp:
    query = _QUERY.search(rest) or re.search(r"\?", rest)
    label, pairs = (rest[: query.start()], rest[query.end() :]) if query else (rest, "")
    known, unknown = _sorted_out(_pieces(pairs))
    issuer, username, other = _names(label, known.get("issuer", "").strip())
    if other:
        unknown.setdefault("label_issuer", other)
    return _built(kind, known, unknown, issuer, username)


def _pieces(query: str) -> list[tuple[str, str]]:
    """Split a query as it was meant: an issuer with a bare ``&`` in it, or without one behind it, is repaired."""
    pairs: list[tuple[str, str]] = []
    for piece in query.split("&"):
        name, equals, value = piece.removeprefix("amp;").partition("=")
        if equals and name.lower() == "issuer" and (glued := _GLUED.search(value)):
            pairs += [(name, _unquote_form(value[: glued.start()])), (glued[1], _unquote_form(value[glued.end() :]))]
        elif not equals and _continues_issuer(pairs, name):
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}&{_unquote_form(piece)}")
        elif name:
            pairs.append((_unquote_form(name), _unquote_form(value)))
    return pairs


def _continues_issuer(pairs: list[tuple[str, str]], piece: str) -> bool:
    after_issuer = bool(pairs) and pairs[-1][0].lower() == "issuer" and bool(pairs[-1][1])
    return after_issuer and bool(piece) and piece.lower() not in _KNOWN | {"steam"}


def _sorted_out(pairs: list[tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the known parameters in lower case and the unknown as written; the first of a name wins."""
    known: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for name, value in pairs:
        if name.lower() in _KNOWN:
            known.setdefault(name.lower(), value)
        else:
            unknown.setdefault(name, value)
    return known, unknown


def _names(label: str, issuer: str) -> tuple[str | None, str | None, str | None]:
    """Return issuer, account, and an issuer of the label that differs from ``issuer=``."""
    decoded = _unescaped(_unquote(label))
    for text in (decoded, _unescaped(_unquote_form(label))):  # a plus is a space only where the issuer proves it
        start = len(text) - len(text.lstrip())
        if issuer and text.strip() == issuer:
            return issuer, None, None
        if issuer and text.startswith(f"{issuer}:", start):
            return issuer, decoded[start + len(issuer) + 1 :].strip() or None, None
    head, tail = _split(label, decoded)
    other = head if issuer and head != issuer else None
    return issuer or head or None, tail or None, other or None


def _split(label: str, decoded: str) -> tuple[str, str]:
    """Split at the first colon as written, else at the first that was encoded; no colon: all is the account."""
    if ":" in label:
        head, tail = label.split(":", 1)
        return _unescaped(_unquote(head)).strip(), _unescaped(_unquote(tail)).strip()
    head, colon, tail = decoded.partition(":")
    return (head.strip(), tail.strip()) if colon else ("", decoded.strip())


def _built(kind: str, known: dict[str, str], unknown: dict[str, str], issuer: str | None, username: str | None) -> Totp:
    """Return the token of its parts; what they leave out gets the defaults of its kind."""
    stated = _number(known.get("digits"))
    if _takes_steam(kind, unknown, issuer, stated):
        kind = "steam"
    period, digits, algorithm = DEFAULTS[kind]
    counter = _number(known.get("counter"))
    if stated and stated > 10:
        raise ValueError("too many digits")
    return Totp(
        kind=kind,
        secret=_secret(known.get("secret", ""), kind),
        period=_number(known.get("period")) or period,
        digits=stated or digits,
        algorithm=hash_name(known.get("algorithm", "")) or algorithm,
        counter=counter or 0 if kind == "hotp" else counter,
        issuer=issuer or None,
        username=username,
        pin=_pin(known.get("pin", "")),
        parameters=unknown,
    )


def _takes_steam(kind: str, unknown: dict[str, str], issuer: str | None, digits: int | None) -> bool:
    """Tell whether it is a Steam token, and take the marks that say so out of the unknown parameters."""
    if kind not in ("totp", "steam"):
        return False
    encoder, flag = unknown.get("encoder", "").lower(), unknown.get("steam")
    if encoder in ("steam", NOT_STEAM):
        del unknown["encoder"]
    if flag == "":
        del unknown["steam"]
    by_issuer = issuer == "Steam" and digits in (None, 0, 5) and encoder != NOT_STEAM
    return kind == "steam" or encoder == "steam" or flag == "" or by_issuer


def _secret(text: str, kind: str) -> Secret:
    if kind != "motp":
        if _AS_WE_WRITE_IT.fullmatch(text):
            return Secret(text)
        return Secret(encode_secret(decode_secret(text)))
    key = bytes.fromhex(re.sub(r"[\s-]", "", text))
    if not key:
        raise ValueError("no secret")
    return Secret(key.hex())


def _number(text: str | None) -> int | None:
    """Return a whole number below 2**64; None where none is stated."""
    text = (text or "").strip()
    if text.lower() in _NO_NUMBER:
        return None
    found = _NUMBER.fullmatch(text)
    if not found or int(found[1]) >= 2**64:
        raise ValueError("not a number")
    return int(found[1])


def hash_name(text: str) -> str:
    """Return ``sha1`` and the like for every spelling: ``SHA1``, ``HmacSHA1``, ``HMAC-SHA-1``, ``Algorithm.sha1``.

    An unknown name is returned in small letters, nothing where none is said.
    """
    text = text.strip().lower()
    short = re.sub(r"^algorithm\.|^hmac|[-_ ]", "", text)
    return _ALGORITHMS.get(short) or ("" if text in _NO_NUMBER else text)


def _pin(text: str) -> Secret | None:
    """Return a PIN written as base32 (Aegis) or as it is."""
    if not text:
        return None
    try:
        pin = "" if text.isdecimal() else decode_secret(text).decode("utf-8", "surrogatepass")
    except ValueError:
        pin = ""
    if pin and encode_secret(pin.encode("utf-8", "surrogatepass")) == text:
        text = pin
    return Secret(text)


def _unescaped(text: str) -> str:
    """Return a label without the HTML escapes that Bitwarden Authenticator puts in."""
    return ENTITY.sub(lambda found: _ENTITIES[found[1]], text) if "&" in text else text


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(text, encoding="latin-1")


def _unquote_form(text: str) -> str:
    return _unquote(text.replace("+", " "))
