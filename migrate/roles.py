"""What a column of a table of unknown origin may be: a role, by which it is read, written and proven.

``field`` keeps a column as a custom field under its header, ``hidden`` as a concealed one, ``note`` adds it to the
notes, ``drop`` leaves it out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from migrate import packed
from migrate.draft import Column, Draft, any_code, folder, note, password, title, totp, url, username
from migrate.leaving import Leaving
from migrate.shape import changed, codes
from vault.model import Address, CreditCard, Field, PersonName, concealed
from vault.moment import is_instant
from vault.views import speaks_of_secret

MANY = frozenset({"url", "notes", "note", "field", "hidden", "totp", "tags", "folder", "drop"})  # may be said twice
SECRET = frozenset({"password", "totp", "hidden", "card_number"})
OF_LOGINS = frozenset({"username", "url"})
YES = frozenset(
    spelled
    for word in ("1", "x", "y", "yes", "true", "on", "ja", "oui", "si", "sí")
    for spelled in (word, word.upper(), word.title())
)
NO = frozenset(
    spelled
    for word in ("0", "n", "no", "false", "off", "nein", "non")
    for spelled in (word, word.upper(), word.title())
)


def _read_field(draft: Draft, header: str, cell: str) -> bool:
    draft.fields.append(Field(label=header, value=cell))
    return True


def _read_hidden(draft: Draft, header: str, cell: str) -> bool:
    draft.fields.append(concealed(cell, label=header))
    return True


def _read_favorite(draft: Draft, _: str, cell: str) -> bool:
    draft.favorite = cell in YES
    return cell in YES | NO


def _read_tags(draft: Draft, _: str, cell: str) -> bool:
    draft.tags += packed.split_list(cell)
    return True


def _time(member: str) -> Column:
    def read(draft: Draft, _: str, cell: str) -> bool:
        if is_instant(cell):
            draft.times[member] = cell
        return member in draft.times and draft.times[member] == cell

    return Column(read, lambda leaving: leaving.offer.take(member) or "")


def _member(kind: type[Any], name: str, *, hidden: bool = False, is_month: bool = False) -> Column:
    """Return the column of a member of a card, a name or an address."""

    def read(draft: Draft, _: str, cell: str) -> bool:
        month = packed.month_of(cell) or (cell if _MONTH.fullmatch(cell) else None) if is_month else None
        made = concealed(cell) if hidden else Field(value=month or cell, field_type="year-month" if month else "string")
        draft.members.setdefault(kind, {})[name] = made
        return True

    return Column(read, lambda leaving: leaving.member(kind, name), changed(packed.card_month) if is_month else None)


_MONTH = re.compile(r"\d{4}-\d\d")


def _nothing(_: Leaving) -> str:
    return ""


COLUMNS: dict[str, Column] = {
    "title": title,
    "username": username,
    "password": password,
    "url": url,
    "totp": Column(totp.read, lambda leaving: leaving.totp(any_code)),
    "notes": Column(note.read, Leaving.note),
    "note": Column(note.read, Leaving.note),
    "folder": folder("/"),
    "tags": Column(_read_tags, lambda leaving: ",".join(leaving.offer.take("tags")), changed(packed.comma_list)),
    "favorite": Column(
        _read_favorite, lambda leaving: "1" if leaving.offer.take("favorite") else "", codes(*sorted(YES | NO))
    ),
    "created": _time("creation_at"),
    "modified": _time("modified_at"),
    "card_number": _member(CreditCard, "number", hidden=True),
    "card_holder": _member(CreditCard, "full_name"),
    "card_expiry": _member(CreditCard, "expiry_date", is_month=True),
    "card_code": _member(CreditCard, "verification_number", hidden=True),
    "card_pin": _member(CreditCard, "pin", hidden=True),
    "card_type": _member(CreditCard, "card_type"),
    "first_name": _member(PersonName, "given"),
    "last_name": _member(PersonName, "surname"),
    "street": _member(Address, "street_address"),
    "postal_code": _member(Address, "postal_code"),
    "city": _member(Address, "city"),
    "state": _member(Address, "territory"),
    "country": _member(Address, "country"),
    "phone": _member(Address, "tel"),
    "field": Column(_read_field, _nothing),
    "hidden": Column(_read_hidden, _nothing),
}
ROLES = (*COLUMNS, "drop")

_SYNONYMS = {
    "title": "title name label entry entryname account accountname site sitename displayname nickname titel"
    " bezeichnung eintrag nom titre nombre titulo titolo service nickname secretname",
    "username": "username user login loginname userid loginusername usuario utilisateur identifiant benutzername"
    " benutzer nomdutilisateur nombredeusuario nomedeusuario nomeutente gebruikersnaam anvandarnamn brukernavn"
    " brugernavn email emailaddress mail",
    "password": "password pass pwd passwd passwort kennwort contrasena motdepasse senha loginpassword secret"
    " wachtwoord losenord passord adgangskode",
    "url": "url website web link address uri loginuri siteurl secreturl hostname origin domain"
    " webaddress websiteaddress webseite internetseite adresse loginurl loginurls siteweb sitioweb",
    "totp": "totp otp otpauth 2fa twofa mfa authenticator twofasecret otpsecret otpurl logintotp onetimepassword"
    " twofactorsecret totpsecret totpseed totpuri otpuri onetimepasswort",
    "notes": "notes note comment comments extra description memo notizen notiz notas notities anteckningar remarks"
    " bemerkung beschreibung informationen additionalinfo",
    "folder": "folder group grouping category path vault collection ordner gruppe kategorie dossier carpeta"
    " folderpath foldername groupname",
    "tags": "tags labels keywords stichworte",
    "favorite": "favorite favourite fav starred pinned favorit",
    "created": "created createdat creationdate timecreated createtime erstellt",
    "modified": "modified modifiedat updated updatedat lastmodified modificationdate modifytime",
    "card_number": "cardnumber ccnumber ccnum creditcardnumber kartennummer",
    "card_holder": "cardholder cardholdername nameoncard ccname",
    "card_expiry": "expiry expirydate expiration expirationdate ccexp cardexpiry",
    "card_code": "cvv cvc cvv2 cardcode securitycode cccsc cvn",
    "card_pin": "cardpin",
    "card_type": "cardtype brand",
    "first_name": "firstname givenname vorname",
    "last_name": "lastname surname familyname nachname",
    "street": "street address1 streetaddress strasse",
    "postal_code": "zip zipcode postalcode postcode plz",
    "city": "city town ort",
    "state": "state province county bundesland",
    "country": "country land",
    "phone": "phone telephone phonenumber telefon mobile",
    "hidden": "pin puk securityanswer answer privatekey apikey token recoverycode backupcode passphrase",
}
_ROLE_OF = {word: role for role, words in _SYNONYMS.items() for word in words.split()}


def role_of(name: str) -> str | None:
    """Return the role that a column's name speaks of; None for a name nobody knows."""
    plain = unicodedata.normalize("NFKD", name.casefold())  # accents become characters of their own, which are left out
    return _ROLE_OF.get(re.sub(r"\(\d+\)$|[\W_]", "", plain))


def suggestions(header: Sequence[str], contents: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a role for every column, by its name or else by what it holds; each single role once.

    What has none is a ``field``, or ``hidden`` where its name speaks of a secret; without any secret there are no
    logins, and so no user names and addresses of them.
    """
    made: dict[str, str] = {}
    for column in sorted(
        header, key=lambda name: "mail" in name.lower()
    ):  # an address is a user name if nothing else is
        role = role_of(column) or (contents or {}).get(column)
        if role is None or (role not in MANY and role in made.values()):
            role = "hidden" if role in SECRET or speaks_of_secret(column) else "field"
        made[column] = role
    has_secret = not SECRET.isdisjoint(made.values())
    return {column: made[column] if has_secret or made[column] not in OF_LOGINS else "field" for column in header}
