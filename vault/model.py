"""The vocabulary of everything Keyferry holds: CXF 1.0 names, plus what CXF lacks.

Source of the names: the FIDO Credential Exchange Format 1.0 (cxf.md). Members after an ``ours`` comment are not in CXF;
``vault.cxf`` carries them in extension objects. Every part has ``extra``: the keys of its source that no adapter
understands, raw, kept once. Frozen; ``msgspec.structs.replace`` makes a changed copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Union

import msgspec

from vault.moment import Instant
from vault.secret import Secret

if TYPE_CHECKING:
    Value = Union[str, Secret]
else:
    Value = Any  # msgspec cannot tell a text from a Secret in JSON; Field decides by its type

CONCEALED = "concealed-string"
_STRING = "string"  # the default itself: msgspec leaves a default out of JSON only by identity


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What all values of the model share: absent members are left out of JSON, ``extra`` is never shown."""

    extra: dict[str, Any] = {}

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "extra")
        more = f", extra=<{len(self.extra)} keys>" if self.extra else ""
        return f"{type(self).__name__}({', '.join(shown)}{more})"


class Field(Part, frozen=True):
    """One value with its CXF field type; a ``concealed-string`` holds a ``Secret``."""

    value: Value = ""
    field_type: str = _STRING
    id: str | None = None
    label: str | None = None
    # ours
    original: str | None = None  # the kind in the source, where CXF has no such type: phone, url, menu, linked
    link: str | None = None  # what a linked field points to, in the source's own words

    def __post_init__(self) -> None:
        if self.field_type is _STRING:
            return
        if self.field_type == CONCEALED:
            if not isinstance(self.value, Secret):
                msgspec.structs.force_setattr(self, "value", Secret(self.value))
        elif self.field_type == _STRING:
            msgspec.structs.force_setattr(self, "field_type", _STRING)

    @property
    def text(self) -> str:
        """The value in clear, concealed or not; for writers and computations only."""
        return self.value.reveal() if isinstance(self.value, Secret) else self.value

    @property
    def is_concealed(self) -> bool:
        """Whether the value is to be hidden from view."""
        return self.field_type == CONCEALED


def _same_default(part: Part, name: str, default: str) -> None:
    """Put the default itself in place of an equal text: msgspec leaves a default out of JSON only by identity."""
    if getattr(part, name) is not default:
        msgspec.structs.force_setattr(part, name, default)


def concealed(text: str, **members: Any) -> Field:
    """Return a concealed field holding the text."""
    return Field(value=Secret(text), field_type=CONCEALED, **members)


class Credential(Part, frozen=True, tag_field="type"):
    """One of the things an item consists of; CXF has no item type, the credentials are the type."""


class BasicAuth(Credential, frozen=True, tag="basic-auth"):
    """User name and password."""

    username: Field | None = None
    password: Field | None = None


class Passkey(Credential, frozen=True, tag="passkey"):
    """A FIDO2 credential; binary members are base64url without padding, the key is PKCS#8 DER."""

    credential_id: str = ""
    rp_id: str = ""
    username: str = ""
    user_display_name: str = ""
    user_handle: str = ""
    key: Secret = Secret("")
    fido2_extensions: dict[str, Any] | None = None
    # ours
    rp_name: str | None = None
    created_at: Instant | None = None
    counter: int | None = None
    discoverable: bool | None = None
    key_type: str | None = None
    algorithm: str | None = None
    curve: str | None = None


class Totp(Credential, frozen=True, tag="totp"):
    """A one-time code of any kind; ``secret`` is base32 without padding, for mOTP hexadecimal."""

    secret: Secret = Secret("")
    period: int = 30  # seconds
    digits: int = 6
    algorithm: str = "sha1"
    username: str | None = None
    issuer: str | None = None
    # ours
    kind: str = "totp"  # totp, hotp, steam, yandex, motp
    counter: int | None = None
    pin: Secret | None = None
    label: str | None = None  # the name of the field it stood in, where an item has several
    source: Secret | None = None  # the source's own text; absent where it is just ``secret`` with the defaults
    parameters: dict[str, str] = {}  # unknown parameters of an otpauth URI

    def __post_init__(self) -> None:
        if self.algorithm == "sha1":
            _same_default(self, "algorithm", "sha1")
        if self.kind == "totp":
            _same_default(self, "kind", "totp")


class GeneratedPassword(Credential, frozen=True, tag="generated-password"):
    """A password that was generated and belongs to no login."""

    password: Secret = Secret("")


class SshKey(Credential, frozen=True, tag="ssh-key"):
    """An SSH key pair; ``private_key`` is the text as its source had it (PEM, OpenSSH or base64url DER)."""

    key_type: str = ""
    private_key: Secret = Secret("")
    key_comment: str | None = None
    creation_date: Field | None = None
    expiry_date: Field | None = None
    key_generation_source: Field | None = None
    # ours
    public_key: str | None = None
    fingerprint: str | None = None
    passphrase: Secret | None = None


class ApiKey(Credential, frozen=True, tag="api-key"):
    """A key for a program."""

    key: Field | None = None
    username: Field | None = None
    key_type: Field | None = None
    url: Field | None = None
    valid_from: Field | None = None
    expiry_date: Field | None = None


class Wifi(Credential, frozen=True, tag="wifi"):
    """Access to a wireless network."""

    ssid: Field | None = None
    network_security_type: Field | None = None
    passphrase: Field | None = None
    hidden: Field | None = None


class Note(Credential, frozen=True, tag="note"):
    """Free text; always concealed."""

    content: Secret = Secret("")


class CreditCard(Credential, frozen=True, tag="credit-card"):
    """A payment card; dates are ``YYYY-MM``."""

    number: Field | None = None
    full_name: Field | None = None
    card_type: Field | None = None
    verification_number: Field | None = None
    pin: Field | None = None
    expiry_date: Field | None = None
    valid_from: Field | None = None


class Address(Credential, frozen=True, tag="address"):
    """A postal address; ``street_address`` has its lines separated by newlines."""

    street_address: Field | None = None
    postal_code: Field | None = None
    city: Field | None = None
    territory: Field | None = None
    country: Field | None = None
    tel: Field | None = None


class PersonName(Credential, frozen=True, tag="person-name"):
    """The parts of a person's name."""

    title: Field | None = None
    given: Field | None = None
    given_informal: Field | None = None
    given2: Field | None = None
    surname_prefix: Field | None = None
    surname: Field | None = None
    surname2: Field | None = None
    credentials: Field | None = None
    generation: Field | None = None


class DriversLicense(Credential, frozen=True, tag="drivers-license"):
    """A driving licence."""

    full_name: Field | None = None
    birth_date: Field | None = None
    issue_date: Field | None = None
    expiry_date: Field | None = None
    issuing_authority: Field | None = None
    territory: Field | None = None
    country: Field | None = None
    license_number: Field | None = None
    license_class: Field | None = None


class Passport(Credential, frozen=True, tag="passport"):
    """A passport."""

    issuing_country: Field | None = None
    passport_type: Field | None = None
    passport_number: Field | None = None
    national_identification_number: Field | None = None
    nationality: Field | None = None
    full_name: Field | None = None
    birth_date: Field | None = None
    birth_place: Field | None = None
    sex: Field | None = None
    issue_date: Field | None = None
    expiry_date: Field | None = None
    issuing_authority: Field | None = None


class IdentityDocument(Credential, frozen=True, tag="identity-document"):
    """An identity card, or a social security or tax number (``identification_number`` alone)."""

    issuing_country: Field | None = None
    document_number: Field | None = None
    identification_number: Field | None = None
    nationality: Field | None = None
    full_name: Field | None = None
    birth_date: Field | None = None
    birth_place: Field | None = None
    sex: Field | None = None
    issue_date: Field | None = None
    expiry_date: Field | None = None
    issuing_authority: Field | None = None


class File(Credential, frozen=True, tag="file"):
    """An attachment; the bytes are a document named by ``integrity_hash`` (base64url SHA-256), never in JSON."""

    id: str = ""
    name: str = ""
    decrypted_size: int = 0  # bytes
    integrity_hash: str = ""
    # ours
    media_type: str | None = None
    created_at: Instant | None = None
    modified_at: Instant | None = None
    label: str | None = None  # the name of the field it stood in
    section: str | None = None
    missing: bool = False  # the source names the file but does not contain it


class ItemReference(Credential, frozen=True, tag="item-reference"):
    """A link to another item of the vault."""

    reference: str = ""  # id of the item
    # ours
    label: str | None = None


class CustomFields(Credential, frozen=True, tag="custom-fields"):
    """A section of fields; order and repeated labels are kept."""

    id: str | None = None
    label: str | None = None  # section title
    fields: tuple[Field, ...] = ()


class UnknownCredential(Credential, frozen=True, tag="keyferry-unknown"):
    """A credential type this version does not know, kept raw."""

    raw: dict[str, Any] = {}


AnyCredential = Union[
    BasicAuth,
    Passkey,
    Totp,
    GeneratedPassword,
    SshKey,
    ApiKey,
    Wifi,
    Note,
    CreditCard,
    Address,
    PersonName,
    DriversLicense,
    Passport,
    IdentityDocument,
    File,
    ItemReference,
    CustomFields,
    UnknownCredential,
]


class Url(Part, frozen=True):
    """A web address with the rule by which it matches a site."""

    url: str
    # ours
    match: str | None = None  # domain, host, starts-with, exact, regex, never; absent: the product's default
    label: str | None = None


class AndroidApp(Part, frozen=True):
    """An Android application an item belongs to."""

    bundle_id: str = ""
    certificate: dict[str, Any] | None = None  # {fingerprint, hashAlg}, as CXF has it
    name: str | None = None


class Past(Part, frozen=True):
    """A value that was replaced."""

    value: Secret
    at: Instant | None = None
    field: str = "password"  # which member, or the label of the custom field

    def __post_init__(self) -> None:
        if self.field == "password":
            _same_default(self, "field", "password")


class Provenance(Part, frozen=True):
    """Where an item came from first."""

    format: str  # adapter name
    source_id: str | None = None
    run: str | None = None


class Item(Part, frozen=True):
    """One entry of the vault."""

    id: str  # base64url, at most 64 bytes; opaque
    title: str = ""
    subtitle: str | None = None
    favorite: bool = False
    tags: tuple[str, ...] = ()
    urls: tuple[Url, ...] = ()
    android_apps: tuple[AndroidApp, ...] = ()
    credentials: tuple[AnyCredential, ...] = ()
    creation_at: Instant | None = None
    modified_at: Instant | None = None
    # ours
    collections: tuple[str, ...] = ()  # ids; CXF keeps these on the collection
    archived: bool = False
    archived_at: Instant | None = None
    trashed: bool = False
    trashed_at: Instant | None = None
    expires_at: Instant | None = None
    last_used_at: Instant | None = None
    template: str | None = None  # category in the source's or the user's words
    reprompt: bool = False
    icon: str | None = None  # name or base64url SHA-256 of a document
    history: tuple[Past, ...] = ()
    conflict: str | None = None  # id of the item that has a different secret for the same account
    provenance: Provenance | None = None


class Collection(Part, frozen=True):
    """A folder, vault or group; nested by ``parent``."""

    id: str
    title: str = ""
    subtitle: str | None = None
    parent: str | None = None
    creation_at: Instant | None = None
    modified_at: Instant | None = None
    # ours
    aliases: tuple[str, ...] = ()  # ids and full names it had in its sources
    kind: str | None = None  # folder, vault, collection, group
    icon: str | None = None
    color: str | None = None
    format: str | None = None  # adapter name ``extra`` belongs to


class Vault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A whole vault in memory; ``extras`` holds what a format says beside its items, by format name."""

    collections: tuple[Collection, ...] = ()
    items: tuple[Item, ...] = ()
    extras: dict[str, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"Vault({len(self.collections)} collections, {len(self.items)} items)"


def texts_of(field: Field | None) -> str:
    """Return the clear text of a field that may be absent."""
    return field.text if field is not None else ""


def find(item: Item, kind: type[Any]) -> Any | None:
    """Return the first credential of that kind, or None."""
    return next((c for c in item.credentials if isinstance(c, kind)), None)


def find_all(item: Item, kind: type[Any]) -> Iterator[Any]:
    """Yield each credential of that kind in order."""
    return (c for c in item.credentials if isinstance(c, kind))


KINDS: tuple[tuple[str, tuple[type[Any], ...]], ...] = (
    ("login", (BasicAuth, Passkey)),
    ("card", (CreditCard,)),
    ("ssh-key", (SshKey,)),
    ("api-key", (ApiKey,)),
    ("wifi", (Wifi,)),
    ("identity", (Address,)),
    ("passport", (Passport,)),
    ("drivers-license", (DriversLicense,)),
    ("identity", (PersonName,)),
    ("identity-document", (IdentityDocument,)),
    ("totp", (Totp,)),
    ("password", (GeneratedPassword,)),
    ("note", (Note,)),
    ("document", (File,)),
)


_DOCUMENTS = (Passport, DriversLicense, IdentityDocument)


def kind_of(item: Item) -> str:
    """Return the word for what the item mostly is: login, card, note, identity, ..., or custom.

    A document that comes first is one still with its holder's address beside it.
    """
    present = set(map(type, item.credentials))
    if item.credentials and isinstance(item.credentials[0], _DOCUMENTS):
        present.discard(Address)
    for word, kinds in KINDS:
        if not present.isdisjoint(kinds):
            return word
    return "login" if item.urls else "custom" if item.credentials else "note"


def state_of(item: Item) -> str:
    """Return ``trashed``, ``archived`` or ``active``."""
    return "trashed" if item.trashed else "archived" if item.archived else "active"


def paths_of(collections: tuple[Collection, ...]) -> dict[str, tuple[str, ...]]:
    """Return each collection's titles from the top, by id; a cycle or a missing parent ends the path."""
    by_id = {c.id: c for c in collections}
    paths: dict[str, tuple[str, ...]] = {}
    for start in collections:
        titles, seen, at = [start.title], {start.id}, start.parent
        while at is not None and at in by_id and at not in seen:
            seen.add(at)
            titles.append(by_id[at].title)
            at = by_id[at].parent
        paths[start.id] = tuple(reversed(titles))
    return paths


def enc_hook(value: Any) -> Any:
    """Write a Secret in clear; for encoders whose output is sealed or asked for."""
    if type(value) is Secret:
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not part of the model")


def dec_hook(kind: type, value: Any) -> Any:
    """Read a Secret back."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"{kind.__name__} is not part of the model")
