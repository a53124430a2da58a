"""Made-up values of the whole model, for laws: every member of every part, found by looking at the model itself."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from vault import model, moment, otpauth
from vault.model import AnyCredential, Collection, Field, Item, Totp, Vault
from vault.secret import Secret

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
secrets = st.builds(Secret, texts)
ids = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789-_", min_size=1, max_size=6)
numbers = st.integers(-(2**63), 2**64 - 1)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000)

# Names that mean something where raw keys are put back, so that a law meets every mix-up.
NAMES = (
    *("id", "title", "items", "credentials", "extensions", "scope", "urls", "androidApps", "tags", "type", "name"),
    *("favorite", "creationAt", "modifiedAt", "username", "userName", "password", "value", "fieldType", "label", "raw"),
    *("fields", "content", "reference", "item", "secret", "subCollections", "extra", "history", "privateKey", "parent"),
)
keys = st.sampled_from(NAMES) | texts
names_of_ours = st.sampled_from(["dev.keyferry.item/1", "dev.keyferry.field/1", "dev.keyferry.code/1", "shared"])
extensions = st.lists(st.fixed_dictionaries({"name": names_of_ours | texts}, optional={"x": texts}), max_size=2)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | decimals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(keys, json_values, max_size=3)
extras = st.just({}) | json_objects | st.fixed_dictionaries({"extensions": extensions})

seconds = st.integers(0, 4_102_444_800).map(moment.from_seconds)
instants = st.one_of(
    seconds,
    st.integers(-(10**15), 4 * 10**15).map(moment.from_micros),
    st.sampled_from(
        ["2026-03-09T12:00:00+02:00", "2026-03-09T12:00:00.120Z", "2026-03-09t12:00:00z", "9999-12-31", ""]
    ),
)

_FIELD_TYPES = (
    *("string", model.CONCEALED, "email", "number", "boolean", "date", "year-month", "country-code", "gender"),
    "wifi-network-security-type",
)


@st.composite
def fields(draw: st.DrawFn) -> Field:
    """Make a field whose value is a Secret exactly where it is concealed."""
    kind = draw(st.sampled_from(_FIELD_TYPES) | texts)
    members = {name: draw(st.none() | texts) for name in ("id", "label", "original", "link")}
    value = draw(secrets if kind == model.CONCEALED else texts)
    return Field(value=value, field_type=kind, extra=draw(extras), **members)


def _of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the type of a member."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        bool: st.booleans(),
        int: numbers,
        Secret: secrets,
        type(None): st.none(),
        Field: fields(),
        dict[str, str]: st.dictionaries(texts, texts, max_size=2),
        dict[str, Any]: json_objects,
        Any: json_values,
    }
    if kind in simple:
        return simple[kind]
    options = get_args(kind)
    if getattr(kind, "__origin__", None) is tuple:
        return st.lists(_of(options[0]), max_size=3).map(tuple)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return parts(kind)
    assert options, f"no strategy for {kind}"
    return st.one_of(*map(_of, options))


_MEMBERS: dict[tuple[type, str], st.SearchStrategy[Any]] = {
    (model.Provenance, "format"): st.sampled_from(["cxf", "cxf", "bitwarden_json"]) | texts,
    (Totp, "kind"): st.sampled_from(["totp", "totp", "totp", "hotp", "steam", "yandex", "motp"]),
    (Totp, "algorithm"): st.sampled_from(["sha1", "sha256", "sha512", "SHA1", "md5", "steam"]),
    (Totp, "period"): st.integers(-1, 300),
    (Totp, "digits"): st.integers(0, 11),
    (Totp, "secret"): st.builds(
        Secret, texts | st.text("ABCDEFGH234567", max_size=32) | st.text("abc =-27", max_size=9)
    ),
    (model.SshKey, "private_key"): st.builds(
        Secret, texts | ids | st.just("-----BEGIN PRIVATE KEY-----\nMC4CAQA=\n-----END PRIVATE KEY-----\n")
    ),
    (model.UnknownCredential, "raw"): json_objects
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["note", "driver-license", "dev.keyferry.raw/1", "x"]), "raw": json_objects}
    ),
}


@cache
def parts(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for a part of the model with some of its members, whichever."""
    members = {member.name: _member(kind, member) for member in msgspec.structs.fields(kind)}
    always = frozenset(member.name for member in msgspec.structs.fields(kind) if member.required)
    names = st.lists(st.sampled_from(sorted(members) + ["extra"] * (len(members) // 4)), max_size=8)

    @st.composite
    def made(draw: st.DrawFn) -> Any:
        return kind(**{name: draw(members[name]) for name in sorted({*always, *draw(names)})})

    return made()


def _member(kind: type[Any], member: Any) -> st.SearchStrategy[Any]:
    if member.name == "extra":
        return extras
    if (kind, member.name) in _MEMBERS:
        return _MEMBERS[kind, member.name]
    if member.name.endswith("_at") or (kind, member.name) == (model.Past, "at"):
        return st.none() | instants
    return _of(member.type)


@st.composite
def tokens(draw: st.DrawFn) -> Totp:
    """Make a one-time code as it comes out of an address, sometimes changed since."""
    kind = draw(st.sampled_from(["totp", "totp", "hotp"]))
    query = draw(st.sampled_from(["", "&digits=8", "&period=60&algorithm=SHA256", "&issuer=Bank", "&period=999&x=y"]))
    seed = draw(st.text("ABCDEFGH234567", min_size=16, max_size=32))
    token = otpauth.parse(f"otpauth://{kind}/{draw(st.sampled_from(['', 'Bank:ada']))}?secret={seed}{query}")
    return msgspec.structs.replace(token, digits=draw(st.sampled_from([token.digits, token.digits, 7])))


credentials = st.one_of(*(parts(kind) for kind in get_args(AnyCredential)), tokens(), parts(Totp))


def items(folders: tuple[str, ...] = ()) -> st.SearchStrategy[Item]:
    """Return a strategy for items that are in some of the folders."""
    chosen = st.lists(st.sampled_from(folders) if folders else ids, max_size=3, unique=True).map(tuple)
    return parts(Item).flatmap(
        lambda item: st.builds(
            msgspec.structs.replace,
            st.just(item),
            id=ids,
            collections=chosen | st.lists(ids, max_size=2).map(tuple),
            credentials=st.lists(credentials, max_size=4).map(tuple),
            provenance=st.none() | parts(model.Provenance),
        )
    )


@st.composite
def vaults(draw: st.DrawFn) -> Vault:
    """Make a whole vault: nested collections, even in a circle or with a parent that is gone, and items in them."""
    folders = tuple(draw(st.lists(ids, max_size=4, unique=True)))
    collections = tuple(
        msgspec.structs.replace(
            draw(parts(Collection)),
            id=own_id,
            parent=draw(st.none() | st.sampled_from(folders) | ids),
            format=draw(st.sampled_from(["cxf", None, "x"])),
        )
        for own_id in folders
    )
    made = draw(st.lists(items(folders), max_size=3, unique_by=lambda item: item.id))
    formats = st.sampled_from(["cxf", "bitwarden_json"]) | texts
    beside = draw(st.dictionaries(formats, st.dictionaries(keys, json_values, max_size=2), max_size=2))
    return Vault(collections=collections, items=tuple(made), extras=beside)
