"""One-time code tokens as text: ``otpauth:`` URIs and their relatives, read leniently, written strictly.

Read (dossier: authenticators 1-3, 18): bare base32; ``otpauth://totp|hotp|steam|yaotp/``; ``steam://SECRET``;
``motp://``; KeeOtp's ``key=..&size=..&step=..``; and every malformed shape that real products write.
The text is kept in ``Totp.source`` unless it is just the canonical secret of a token with nothing but defaults, so
any accepted text can be written back letter by letter.
"""

from __future__ import annotations

from urllib.parse import quote

from msgspec.structs import replace

from vault.base32 import encode_secret
from vault.model import Totp
from vault.otpreading import DEFAULTS, ENTITY, NOT_STEAM, read
from vault.secret import Secret

_TYPE_OF = {"totp": "totp", "hotp": "hotp", "steam": "steam", "yandex": "yaotp"}


def parse(text: str) -> Totp:
    """Return the token that a text means; raises ``ValueError``, without content, if it means none."""
    try:
        token = read(text)
    except (ValueError, OverflowError):
        raise ValueError("not a one-time code secret or otpauth address") from None
    is_bare = text == token.secret.reveal() and text == _bare(token)
    return token if is_bare else replace(token, source=Secret(text))


def text_of(totp: Totp) -> str:
    """Return the token as text: its source's own while that still means the same, else secret or canonical URI."""
    if totp.source is not None:
        source = totp.source.reveal()
        try:
            if means_same(parse(source), totp):
                return source
        except ValueError:
            pass
    bare = _bare(totp)
    return uri(totp) if bare is None else bare


def means_same(a: Totp, b: Totp) -> bool:
    """Tell whether two tokens agree in everything but where they stood: source text, field label, unknown keys."""
    return _meaning(a) == _meaning(b)


def uri(totp: Totp) -> str:
    """Return the canonical URI: all parameters written out, ``%20`` for a space, the secret without padding.

    Steam is written as ``otpauth://steam/`` (Aegis, 2FAS, Ente, KeePassDX) with ``encoder=steam`` (KeePassXC, pyotp);
    Bitwarden and Proton read only ``steam_uri``. The PIN is written as base32, as Aegis does for Yandex.
    """
    kind = _TYPE_OF.get(totp.kind) or _quote(totp.kind)
    query = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in _parameters(totp))
    return f"{'motp://' if totp.kind == 'motp' else f'otpauth://{kind}/'}{_label(totp)}?{query}"


def steam_uri(totp: Totp) -> str:
    """Return ``steam://SECRET``, the only form of a Steam token that Bitwarden and Proton read."""
    return f"steam://{totp.secret.reveal()}"


def _meaning(totp: Totp) -> Totp:
    return replace(totp, source=None, label=None, extra={})


def _bare(totp: Totp) -> str | None:
    """Return the secret alone if it says everything about the token."""
    return totp.secret.reveal() if _meaning(totp) == Totp(secret=totp.secret) else None


def _label(totp: Totp) -> str:
    username = _quote(_guarded(totp.username or ""))
    if totp.issuer:
        issuer = _quote(_guarded(totp.issuer))
        return f"{issuer}:{username}" if username else issuer
    return f":{username}" if "%3A" in username else username  # else its colon would make an issuer


def _parameters(totp: Totp) -> list[tuple[str, str]]:
    period, digits, algorithm = DEFAULTS.get(totp.kind, DEFAULTS["totp"])
    terse = totp.kind == "motp"  # its numbers are fixed, and no reader looks for them
    pairs = [("secret", totp.secret.reveal())]
    if totp.issuer:
        pairs.append(("issuer", totp.issuer))
    if not terse or totp.algorithm != algorithm:
        pairs.append(("algorithm", totp.algorithm.upper()))
    if not terse or totp.digits != digits:
        pairs.append(("digits", str(totp.digits)))
    if not (terse or totp.kind == "hotp") or totp.period != period:
        pairs.append(("period", str(totp.period)))
    if totp.kind == "hotp" or totp.counter is not None:
        pairs.append(("counter", str(totp.counter or 0)))
    if totp.pin:
        pairs.append(("pin", encode_secret(totp.pin.reveal().encode("utf-8", "surrogatepass"))))
    return pairs + _encoder(totp) + list(totp.parameters.items())


def _encoder(totp: Totp) -> list[tuple[str, str]]:
    if totp.kind == "steam":
        return [("encoder", "steam")]
    plain_five = totp.kind == "totp" and totp.issuer == "Steam" and totp.digits == 5
    return [("encoder", NOT_STEAM)] if plain_five else []


def _guarded(text: str) -> str:
    """Escape what a reader would take for an HTML escape."""
    return ENTITY.sub(r"&amp;\1;", text)


def _quote(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")
