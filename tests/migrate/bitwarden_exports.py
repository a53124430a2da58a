"""Made-up Bitwarden exports for laws: whole ones, odd ones, and unknown keys put in at any level."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from vault.canonical import encode

_ODD_TEXTS = "", "NA", "007", "=1+1", " spaced ", "a\nb", "\r\n", "\ud83d", "🗝️ مفتاح \u202e", "null", "0", "1e400"
_ODD_NUMBERS = 0, 1, 12345678901234567890, Decimal("2.50"), Decimal("1E+400"), Decimal("-0.0")
texts = st.text(max_size=8) | st.sampled_from(_ODD_TEXTS)
maybe = st.none() | texts
numbers = st.integers(-(2**70), 2**70) | st.sampled_from(_ODD_NUMBERS)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)

ids = st.sampled_from([f"a000000{n}-0000-4000-8000-00000000000{n}" for n in range(4)])
folder_ids = st.sampled_from([f"f000000{n}-0000-4000-8000-00000000000{n}" for n in range(4)])
folder_names = st.sampled_from(["A", "A/B", "A/B/C", "B", "/A", "A//B", "A/", "", "🗝️"]) | texts
times = st.sampled_from(
    [
        *("2024-02-03T04:05:06.123Z", "2024-02-03T04:05:06+02:00", "2024-02-03t04:05:06.123456789z"),
        *("2024-02-30T04:05:06.000Z", "51514-01-01T00:00:00.000Z", "yesterday", "", None, False, 1706933106),
    ]
)
seeds = st.sampled_from(
    [
        *("JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "steam://JBSWY3DPEHPK3PXP", "no seed!", "GE", ""),
        "otpauth://totp/My%20bank:ada?secret=JBSWY3DPEHPK3PXP&issuer=My%20bank&digits=8&period=60&algorithm=SHA256",
        "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&colour=teal",
    ]
)
months = st.sampled_from(["1", "06", "12", "13", "0", "", None, 6, "six"])
years = st.sampled_from(["2029", "29", "209", "", None, 2029, "soon"])
credential_ids = st.sampled_from(
    [
        *("0d5a7a5b-9c1e-4f7a-8e55-2a3b4c5d6e7f", "0D5A7A5B-9C1E-4F7A-8E55-2A3B4C5D6E7F", "b64.LBhZ0m3Xq0qXn1vY7wY3VQ"),
        *("b64.LBhZ0m3Xq0qXn1vY7wY3VQ5k", "b64.", "b64.a+b", "LBhZ0m3X", "é", "", None, 7),
    ]
)


def objects(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for objects that have any of the members."""
    return st.fixed_dictionaries({}, optional=dict(members))


def of_texts(*keys: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for objects whose members are texts or null."""
    return objects(**dict.fromkeys(keys, maybe), **members)


def some(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for null or short lists."""
    return st.none() | st.lists(one, max_size=3)


fields = objects(
    name=maybe,
    value=maybe | st.sampled_from(["true", "false", True, False]) | numbers,
    type=st.sampled_from([0, 1, 2, 3, "1", "3", 4, None]),
    linkedId=st.sampled_from([100, 101, 305, None, "100", -5]),
)
passkeys = of_texts(
    *("keyType", "keyAlgorithm", "keyCurve", "keyValue", "rpId", "userHandle", "userName", "rpName", "userDisplayName"),
    credentialId=credential_ids,
    counter=st.sampled_from(["0", "17", "007", 5, None, "-1"]),
    discoverable=st.sampled_from(["true", "false", True, None, "perhaps"]),
    creationDate=times,
)
PARTS = {
    "login": of_texts(
        *("username", "password", "uri"),
        totp=st.none() | seeds,
        uris=some(objects(uri=maybe, match=st.sampled_from([None, *range(7)]))),
        fido2Credentials=some(passkeys),
    ),
    "secureNote": objects(type=st.sampled_from([0, None, 1])),
    "card": of_texts("cardholderName", "brand", "number", "code", expMonth=months, expYear=years),
    "identity": of_texts(
        *("title", "firstName", "middleName", "lastName", "address1", "address2", "address3", "city", "state"),
        *("postalCode", "country", "company", "email", "phone", "ssn", "username", "passportNumber", "licenseNumber"),
    ),
    "sshKey": of_texts("privateKey", "publicKey", "keyFingerprint"),
    "bankAccount": of_texts("bankName", "nameOnAccount", "accountType", "accountNumber", "pin", "iban", "swiftCode"),
    "driversLicense": of_texts("firstName", "lastName", "dateOfBirth", "licenseNumber", "issuingCountry"),
    "passport": of_texts("surname", "givenName", "dateOfBirth", "sex", "passportNumber", "issuingCountry"),
}


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    """Make an item of any type, or of none that is known."""
    number = draw(st.integers(1, 8))
    made: dict[str, Any] = draw(
        of_texts(
            *("name", "notes"),
            id=ids | maybe,
            organizationId=st.none() | ids,
            folderId=st.none() | folder_ids | st.sampled_from(["A", "", "unknown", 0]),
            collectionIds=some(folder_ids | st.none() | st.just("unknown")),
            reprompt=st.sampled_from([0, 1, 2, None, True]),
            favorite=st.sampled_from([True, False, 0, 1, None, "yes"]),
            fields=some(fields),
            passwordHistory=some(objects(password=maybe, lastUsedDate=times)),
            creationDate=times,
            revisionDate=times,
            deletedDate=times,
            archivedDate=times,
            key=maybe,
        )
    )
    for own, part in zip(range(1, 9), PARTS, strict=True):
        if own == number:
            made[part] = draw(PARTS[part] | st.none())
        elif draw(st.integers(0, 9)) == 0:
            made[part] = draw(st.none() | PARTS[part])
    kinds = st.sampled_from([number] * 8 + [str(number), 9, "login", None, True, 1.0])
    return made if draw(st.integers(0, 19)) == 0 else {"type": draw(kinds), **made}


@st.composite
def exports(draw: st.DrawFn) -> dict[str, Any]:
    """Make a whole export, of a person or of an organisation."""
    kind = draw(st.sampled_from(["folders", "collections"]))
    folder = of_texts("organizationId", "externalId", id=folder_ids | maybe, name=st.none() | folder_names)
    made = {kind: draw(st.lists(folder, max_size=5)), "items": draw(st.lists(items(), max_size=4))}
    return made | draw(objects(encrypted=st.sampled_from([False, None, "no"])))


@st.composite
def with_unknown_keys(draw: st.DrawFn, export: dict[str, Any]) -> dict[str, Any]:
    """Add keys that nobody knows to objects of all levels, and now and then a value of an unexpected type.

    What it says of being encrypted stays: any other word for yes would have the file refused, rightly.
    """
    grown = {key: _grown(draw, value) for key, value in export.items() if key != "encrypted"}
    return export | grown | draw(_unknown)


_unknown = st.dictionaries(
    texts.map("future {}".format) | st.sampled_from(["extra", "id2", "label", "totp", "uri", "name2", "type2"]),
    anything,
    max_size=2,
)


def _grown(draw: st.DrawFn, node: Any) -> Any:
    if isinstance(node, list):
        return [_grown(draw, one) for one in node]
    if not isinstance(node, dict):
        return draw(anything) if draw(st.integers(0, 30)) == 0 else node
    return {key: _grown(draw, value) for key, value in node.items()} | draw(_unknown)


def as_bytes(export: Any) -> bytes:
    """Return the file, its numbers exact and its lone surrogates as escapes."""
    return re.sub(rb'"number 7c0e6d ([^"]+)"', rb"\1", json.dumps(_spelled(export)).encode())


def _spelled(node: Any) -> Any:
    if isinstance(node, Decimal):
        return f"number 7c0e6d {encode(node).decode()}"
    if isinstance(node, dict):
        return {key: _spelled(value) for key, value in node.items()}
    return [_spelled(one) for one in node] if isinstance(node, list) else node
