"""A login as Bitwarden has it: name, password, addresses, one code, passkeys (dossier: Bitwarden 1.2)."""

from __future__ import annotations

from typing import Any

import msgspec

from migrate.formats._bitwarden import MATCH
from migrate.formats._bitwarden_ids import credential_id
from migrate.formats._bitwarden_writing import OF_CODE, Writing, give_back
from migrate.giving import Offer
from migrate.leaving import UNREADABLE
from migrate.taking import Members
from vault import model, otp
from vault.model import CONCEALED, CustomFields, Totp

_MATCHES = {meaning: code for code, meaning in MATCH.items()} | {None: None}
_MEMBERS: Members = {"username": ("username", "string"), "password": ("password", CONCEALED)}
_PASSKEY = {
    "keyType": "public-key",
    "keyAlgorithm": "ECDSA",
    "keyCurve": "P-256",
    "counter": "0",
    "discoverable": "true",
}


def login(writing: Writing) -> dict[str, Any]:
    """Take user name, password, addresses, one code and all passkeys."""
    uris = [_uri(writing, url) for url in writing.offer.take("urls")]
    for app in writing.offer.take("android_apps"):
        offer = Offer(app)
        uris.append({"match": None, "uri": f"androidapp://{offer.take('bundle_id')}"})
        writing.move(offer, "app")
    auth = writing.members(model.BasicAuth, _MEMBERS)
    if auth["password"] is None and (generated := writing.pop(model.GeneratedPassword)) is not None:
        offer = Offer(generated)
        auth["password"] = offer.text("password") or None
        writing.move(offer)
    passkeys = []
    while (passkey := writing.pop(model.Passkey)) is not None:
        passkeys.append(_passkey(writing, passkey))
    return {"uris": uris, **auth, "totp": _totp(writing), "fido2Credentials": passkeys}


def _uri(writing: Writing, url: model.Url) -> dict[str, Any]:
    """Return an address with its rule; a rule Bitwarden does not know becomes a custom field."""
    made = {"match": _MATCHES.get(url.match), "uri": url.url or None}
    if writing.own:
        give_back(made, url.extra)
    if url.label is not None or url.match not in _MATCHES:
        offer = Offer(url)
        offer.skip("url", "extra", *(["match"] if url.match in _MATCHES else []))
        writing.move(offer, "website")
    return made


def _totp(writing: Writing) -> str | None:
    """Take the first code that Bitwarden can compute, or the text it could not read either."""
    for at, credential in enumerate(writing.left):
        if isinstance(credential, CustomFields) and credential.id == UNREADABLE and credential.fields:
            writing.left[at] = msgspec.structs.replace(credential, id=None, fields=credential.fields[1:])
            return credential.fields[0].text
        if isinstance(credential, Totp) and (text := _code(writing, credential)) is not None:
            del writing.left[at]
            offer = Offer(credential)
            offer.skip(*OF_CODE)
            writing.move(offer)
            return text
    return None


def _code(writing: Writing, totp: Totp) -> str | None:
    """Return a code as Bitwarden reads it: base32, ``otpauth://totp/`` or ``steam://``; None if it cannot."""
    text = otp.text_of(totp)
    if writing.own:
        return text
    if totp.kind == "steam":
        return otp.steam_uri(totp) if otp.is_secret(totp.secret.reveal()) else None
    if totp.kind != "totp":
        return None
    return text if text == totp.secret.reveal() or text.startswith("otpauth://totp/") else otp.uri(totp)


def _passkey(writing: Writing, passkey: model.Passkey) -> dict[str, Any]:
    """Return a passkey; what Bitwarden always has is filled in for one of another product."""
    offer = Offer(passkey)
    counter, found = offer.take("counter"), offer.take("discoverable")
    made = {
        "credentialId": credential_id(offer.take("credential_id")),
        "keyType": offer.take("key_type"),
        "keyAlgorithm": offer.take("algorithm"),
        "keyCurve": offer.take("curve"),
        "keyValue": offer.text("key"),
        "rpId": offer.take("rp_id"),
        "userHandle": offer.take("user_handle"),
        "userName": offer.take("username"),
        "counter": None if counter is None else str(counter),
        "rpName": offer.take("rp_name"),
        "userDisplayName": offer.take("user_display_name"),
        "discoverable": None if found is None else str(found).lower(),
        "creationDate": offer.take("created_at"),
    }
    if writing.own:
        offer.skip("extra")
        give_back(made, passkey.extra)
    else:
        usual = _PASSKEY | {"rpName": passkey.rp_id, "creationDate": writing.item.creation_at}
        made |= {key: value for key, value in usual.items() if made[key] is None}
    writing.move(offer)
    return made
