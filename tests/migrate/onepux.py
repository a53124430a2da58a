"""The invented household as 1PUX files, and what makes such files; no value of it is anybody's.

A ZIP cannot be read in a difference, so the samples are made from what stands here: ``SAMPLES`` holds each one.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

Part = dict[str, Any]

KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
PEM = "-----BEGIN PRIVATE KEY-----\ninvented0key0of0nobody\n-----END PRIVATE KEY-----\n"
ATTRIBUTES = {"version": 3, "description": "1Password Unencrypted Export", "createdAt": 1717236000}
PLAIN = {"keyboard": "default", "correction": "default", "capitalization": "default"}


def zipped(members: Mapping[str, bytes | str], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP dated 1980, as the product writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = packed, 3, 0o600 << 16
            archive.writestr(info, content)
    return file.getvalue()


def export(
    *accounts: Part, files: Mapping[str, bytes] | None = None, attributes: Any = ATTRIBUTES, **more: Any
) -> bytes:
    """Return a whole file; ``more`` are further members of ``export.data``."""
    head = {} if attributes is None else {"export.attributes": json.dumps(attributes)}
    data = json.dumps({"accounts": [*accounts], **more}, ensure_ascii=False)
    return zipped({**head, "export.data": data, **(files or {})}, zipfile.ZIP_STORED)


def account(*vaults: Part, name: str = "Ada Lindqvist-Okoye", number: int = 1, **more: Any) -> Part:
    """Return an account with its vaults."""
    attrs = {
        "accountName": name,
        "name": name,
        "avatar": "",
        "email": "ada@example.org",
        "uuid": f"ACC{number:023d}",
        "domain": "https://my.1password.com/",
    }
    return {"attrs": attrs, "vaults": list(vaults), **more}


def vault(name: str, *items: Any, number: int = 1, kind: str = "U", about: str = "", **more: Any) -> Part:
    """Return a vault with its items."""
    attrs = {"uuid": f"vault{number:021d}", "desc": about, "avatar": "", "name": name, "type": kind}
    return {"attrs": attrs, "items": list(items), **more}


def uuid(title: str) -> str:
    """Return the uuid of the item with this title, 26 characters long."""
    return f"item{zlib.crc32(title.encode()):022d}"


def item(title: str, category: str = "001", **given: Any) -> Part:
    """Return an item; ``given`` are members of its details and overview by their names, and of itself."""
    details = {
        "loginFields": given.pop("loginFields", []),
        "notesPlain": given.pop("notesPlain", ""),
        "sections": given.pop("sections", []),
        "passwordHistory": given.pop("passwordHistory", []),
        **given.pop("details", {}),
    }
    urls = given.pop("urls", [])
    overview = {
        "subtitle": given.pop("subtitle", ""),
        "title": title,
        "url": urls[0]["url"] if urls else "",
        "tags": given.pop("tags", []),
        **({"urls": urls} if urls else {}),
        **given.pop("overview", {}),
    }
    return {
        "uuid": uuid(title),
        "favIndex": 0,
        "createdAt": 1705341845,
        "updatedAt": 1717317000,
        "state": "active",
        "categoryUuid": category,
        "details": details,
        "overview": overview,
        **given,
    }


def login(title: str, username: str, password: str, *addresses: str, **given: Any) -> Part:
    """Return a login."""
    given.setdefault("loginFields", [field_of_form("username", username), field_of_form("password", password)])
    urls = [{"label": "website", "url": url, "mode": "default"} for url in addresses]
    return item(title, "001", urls=urls, subtitle=username, **given)


def field_of_form(role: str, value: Any, name: str = "", kind: str = "") -> Part:
    """Return a field of a login's web form."""
    usual = "P" if role == "password" else "T"
    return {"value": value, "id": "", "name": name or role, "fieldType": kind or usual, "designation": role}


def section(title: str, name: str | None, *fields: Part, **more: Any) -> Part:
    """Return a section; the main one of a template has no name."""
    return {"title": title, **({} if name is None else {"name": name}), "fields": list(fields), **more}


def field(title: str, own_id: str, value: Any, **more: Any) -> Part:
    """Return a field; in ``more`` the words of its input traits stand beside its other members."""
    traits = {key: more.pop(key, word) for key, word in PLAIN.items()}
    shown = {"guarded": False, "multiline": False, "dontGenerate": False, **more}
    return {"title": title, "id": own_id, "value": value, **shown, "inputTraits": traits}


def code(text: str, own_id: str = "TOTP_of0the0household00000000") -> Part:
    """Return a one-time code's field as the product makes it."""
    return field("one-time password", own_id, {"totp": text})


def attached(title: str, document: str, name: str, size: int) -> Part:
    """Return a field with an attachment."""
    return field(title, f"f{document}", {"file": {"fileName": name, "documentId": document, "decryptedSize": size}})


# -- the household


def _card() -> Part:
    words = {"capitalization": "words"}
    return item(
        "Visa of Ada",
        "002",
        subtitle="4111 **** 1111",
        tags=["Finance"],
        sections=[
            section(
                "",
                None,
                field("cardholder name", "cardholder", {"string": "Ada Lindqvist-Okoye"}, guarded=True, **words),
                field("type", "type", {"creditCardType": "visa"}, guarded=True),
                field(
                    "number",
                    "ccnum",
                    {"creditCardNumber": "4111111111111111"},
                    guarded=True,
                    clipboardFilter="0123456789",
                    keyboard="numberPad",
                ),
                field("verification number", "cvv", {"concealed": "737"}, dontGenerate=True, keyboard="numberPad"),
                field("expiry date", "expiry", {"monthYear": 202907}, guarded=True),
                field("valid from", "validFrom", {"monthYear": 0}, guarded=True),
            ),
            section(
                "Contact Information",
                "contactInfo",
                field("issuing bank", "bank", {"string": "Riverbank"}, **words),
                field("phone (local)", "phoneLocal", {"phone": "+46 40 555 01 99"}, keyboard="namePhonePad"),
                field("website", "website", {"url": "https://bank.example.test"}),
            ),
            section(
                "Additional Details",
                "details",
                field("PIN", "pin", {"concealed": "0042"}, dontGenerate=True, keyboard="numberPad"),
                field("credit limit", "creditLimit", {"string": "40000"}, keyboard="numbersAndPunctuation"),
            ),
        ],
    )


def _identity() -> Part:
    address = {"street": "Quay 3\n2nd floor", "city": "Malmo", "country": "se", "zip": "211 19", "state": "Skane"}
    return item(
        "Ada",
        "004",
        subtitle="Ada Lindqvist-Okoye",
        sections=[
            section(
                "Identification",
                "name",
                field("first name", "firstname", {"string": "Ada"}, guarded=True),
                field("initial", "initial", {"string": "M"}, guarded=True),
                field("last name", "lastname", {"string": "Lindqvist-Okoye"}, guarded=True),
                field("birth date", "birthdate", {"date": 315662460}, guarded=True),
                field("company", "company", {"string": "Harbour Ltd"}, guarded=True),
            ),
            section(
                "Address",
                "address",
                field("address", "address", {"address": address}, guarded=True),
                field("default phone", "defphone", {"phone": "+46 40 555 01 23"}, guarded=True),
                field("cell", "cellphone", {"phone": "+46 70 555 01 24"}, guarded=True),
            ),
            section(
                "Internet Details",
                "internet",
                field("username", "username", {"string": "ada.lo"}, guarded=True),
                field("email", "email", {"string": "ada@example.org"}, guarded=True, keyboard="emailAddress"),
                field("2nd email", "mail2", {"email": {"email_address": "ada@mail.example.test", "provider": None}}),
            ),
        ],
    )


def _ssh() -> Part:
    metadata = {
        "privateKey": PEM,
        "publicKey": "ssh-ed25519 AAAAinvented",
        "fingerprint": "SHA256:invented0fingerprint",
        "keyType": "ed25519",
    }
    key = field("private key", "private_key", {"sshKey": {"privateKey": PEM, "metadata": metadata}}, guarded=True)
    return item("Build server", "114", sections=[section("SSH Key", None, key, hideAddAnotherField=True)])


def _wifi() -> Part:
    return item(
        "Wi-Fi",
        "109",
        sections=[
            section(
                "",
                None,
                field("base station name", "name", {"string": "attic"}),
                field("base station password", "password", {"concealed": "gull-eggs-3"}),
                field("network name", "network_name", {"string": "seagull"}),
                field("wireless security", "wireless_security", {"menu": "wpa3P"}),
                field("wireless network password", "wireless_password", {"concealed": "herring-11"}),
            )
        ],
    )


def _household() -> bytes:
    bank = login(
        "My bank",
        "ada@example.org",
        'kr,on"or\\27',
        "https://bank.example.test/login",
        notesPlain="Call first:\n0800 12 12\n\nthen wait",
        sections=[
            section(
                "Extra",
                "Section_extra00000000000000000000",
                field("PIN", "pin00000000000000000000000", {"concealed": "0042"}),
                code(f"otpauth://totp/Riverbank:ada?secret={KEY}&issuer=Riverbank&digits=8&period=60&algorithm=SHA256"),
                field("Branch", "branch0000000000000000000", {"string": "Harbour"}),
            ),
            section(
                "Linked",
                "linked items",
                field("card", "link000000000000000000000", {"reference": uuid("Visa of Ada")}),
                attached("contract", "contract0document000000000", "contract__signed.txt", 14),
            ),
        ],
        passwordHistory=[{"value": "old-kronor-26", "time": 1730790428}],
        overview={"ps": 100, "pbe": 127.500786, "pgrng": True},
    )
    mail = login(
        "Mail",
        "ada@mail.example.test",
        "correct horse battery",
        "https://mail.example.test",
        "https://webmail.example.test/inbox",
        favIndex=1,
        tags=["Family", "Work/Mail"],
        sections=[section("", "Section_mail", code(KEY, "TOTP_mail"), code(f"steam://{KEY}", "TOTP_steam"))],
    )
    plain = [
        login("Router", "admin", " spaced "),
        login("NA", "tom", "NA"),
        login("Agent", "tom", "007", "https://agent.example.test"),
        login("Sheet", "tom", "=1+1", "https://sheet.example.test"),
        login("Nothing", "tom", "", "https://nothing.example.test"),
        login("Two lines", "mio", "first\nsecond", "https://two.example.test"),
        login("Büro 🗝️ مفتاح", "mio", "ключ-Ω", "https://idn.example.test"),
        login("Club", "ada", "archive-me-9", state="archived"),
        login("Old shop", "ada", "trash-me-9", state="trashed"),
        item("Generated", "005", details={"password": "GBq-invented-4si3"}),
        item("Alarm code", "003", notesPlain="Front door 4711#"),
    ]
    papers = {"fileName": "will.pdf", "documentId": "will0document00000000000000", "decryptedSize": 9}
    document = item("Papers", "006", details={"documentAttributes": papers})
    files = {
        "files/contract0document000000000__contract__signed.txt": b"signed, sealed",
        "files/will0document00000000000000__will.pdf": b"%PDF-will",
        "files/ada.png": b"\x89PNG ada",
    }
    private = vault("Private", mail, *plain, _identity(), _ssh(), document, kind="P", about="Only Ada")
    private["attrs"]["avatar"] = "ada.png"
    return export(
        account(private, vault("Bank", bank, _card(), number=2), vault("Home/Net", _wifi(), number=3)), files=files
    )


# -- what else the product writes


def _main(*rows: tuple[str, str, Any]) -> list[Part]:
    return [section("", None, *(field(title, own_id, value) for title, own_id, value in rows))]


_TEMPLATES: dict[str, list[Part]] = {
    "100": [*_main(("version", "product_version", {"string": "5.10"}), ("license key", "reg_code", {"string": "K-1"}))],
    "101": _main(
        ("bank name", "bankName", {"string": "Riverbank"}),
        ("type", "accountType", {"menu": "savings"}),
        ("account number", "accountNo", {"string": "0012345678"}),
        ("IBAN", "iban", {"string": "SE12 0000 0000 0001"}),
        ("PIN", "telephonePin", {"concealed": "5555"}),
    ),
    "102": _main(
        ("type", "database_type", {"menu": "postgresql"}),
        ("server", "hostname", {"string": "db.example.test"}),
        ("port", "port", {"string": "5432"}),
        ("username", "username", {"string": "dba"}),
        ("password", "password", {"concealed": "table-legs-4"}),
        ("SID", "sid", {"string": "main"}),
    ),
    "103": _main(
        ("full name", "fullname", {"string": "Tom Lindqvist-Okoye"}),
        ("address", "address", {"string": "Quay 3"}),
        ("date of birth", "birthdate", {"date": 252504060}),
        ("sex", "sex", {"gender": "male"}),
        ("height", "height", {"string": "1.81"}),
        ("number", "number", {"string": "L7654321"}),
        ("license class", "class", {"string": "B"}),
        ("state", "state", {"string": "Skane"}),
        ("country", "country", {"string": "Sweden"}),
        ("expiry date", "expiry_date", {"monthYear": 203012}),
    ),
    "104": _main(("full name", "name", {"string": "Tom"}), ("approved wildlife", "game", {"string": "pike"})),
    "105": _main(
        ("group", "org_name", {"string": "Sea club"}), ("member since", "member_since", {"monthYear": 201505})
    ),
    "106": _main(
        ("type", "type", {"string": "P"}),
        ("issuing country", "issuing_country", {"string": "Sweden"}),
        ("number", "number", {"string": "P1234567"}),
        ("full name", "fullname", {"string": "Ada Lindqvist-Okoye"}),
        ("sex", "sex", {"gender": "female"}),
        ("nationality", "nationality", {"string": "Swedish"}),
        ("issuing authority", "issuing_authority", {"string": "Polisen"}),
        ("date of birth", "birthdate", {"date": 315662460}),
        ("place of birth", "birthplace", {"string": "Lagos"}),
        ("issued on", "issue_date", {"date": 1577880060}),
        ("expiry date", "expiry_date", {"date": 1893499260}),
    ),
    "107": _main(("company name", "company_name", {"string": "Ferries"}), ("PIN", "pin", {"concealed": "7777"})),
    "108": _main(("name", "name", {"string": "Mio"}), ("number", "number", {"concealed": "131-21-1900"})),
    "110": _main(
        ("URL", "url", {"string": "ssh://host.example.test"}),
        ("username", "username", {"string": "root"}),
        ("password", "password", {"concealed": "anchor-9"}),
    ),
    "111": [
        *_main(
            ("type", "pop_type", {"menu": "imap"}),
            ("username", "pop_username", {"string": "ada"}),
            ("server", "pop_server", {"string": "imap.example.test"}),
            ("password", "pop_password", {"concealed": "stamp-1"}),
        ),
        section("SMTP", "SMTP", field("password", "smtp_password", {"concealed": "stamp-2"})),
    ],
    "112": _main(
        ("username", "username", {"string": "robot"}),
        ("credential", "credential", {"concealed": "api-invented-77"}),
        ("type", "type", {"menu": "jwt"}),
        ("filename", "filename", {"string": "robot.jwt"}),
        ("valid from", "validFrom", {"date": 1301918460}),
        ("expires", "expires", {"date": 1932811260}),
        ("hostname", "hostname", {"string": "api.example.test"}),
    ),
    "113": _main(("date", "date", {"date": 1577880060}), ("location", "location", {"string": "Clinic"})),
    "115": _main(("recovery phrase", "recoveryPhrase", {"concealed": "twelve invented words"})),
    "199": _main(("thing", "thing", {"string": "of a category nobody knows yet"})),
}


def _every_category() -> bytes:
    filled = [item(f"Item of {category}", category, sections=rows) for category, rows in _TEMPLATES.items()]
    empty = [item(f"Nothing in {category:03d}", f"{category:03d}") for category in (*range(1, 7), *range(100, 116))]
    return export(account(vault("Private", *filled, *empty)))


def _two_accounts() -> bytes:
    """Two accounts have vaults of the same name, and in one file of the same uuid; an item came twice."""
    twice = login("Twice", "tom", "one")
    other = {**login("Twice", "tom", "two"), "uuid": twice["uuid"]}
    ours = account(vault("Private", twice, number=1), vault("Shared", number=2, kind="E"))
    theirs = account(vault("Private", other, number=1), vault("Private", number=4), name="Tom", number=2)
    nothing = {"attrs": {"name": "No vault yet"}, "vaults": []}
    return export(ours, theirs, nothing)


def _attachments() -> bytes:
    """Names with ``__`` and ``../``, twice the same name, no bytes at all, a wrong size, one missing, one unnamed."""
    files = section(
        "Files",
        "files",
        attached("two lines in its name", "doc1", "a__b.txt", 3),
        attached("up and away", "doc2", "../../up.txt", 2),
        attached("same name", "doc3", "same.txt", 1),
        attached("same name", "doc4", "same.txt", 1),
        attached("same bytes", "doc5", "other.txt", 1),
        attached("empty", "doc6", "empty.bin", 0),
        attached("gone", "doc7", "gone.txt", 44),
        attached("grown", "doc8", "grown.txt", 2),
    )
    members = {
        "files/doc1__a__b.txt": b"abc",
        "files/doc2__.._.._up.txt": b"up",
        "files/doc3__same.txt": b"1",
        "files/doc4__same.txt": b"2",
        "files/doc5__other.txt": b"1",
        "files/doc6__empty.bin": b"",
        "files/doc8__grown.txt": b"grown",
        "files/nobody__named.txt": b"orphan",
        "files/avatar.png": b"\x89PNG",
        "readme.txt": b"not of the product",
    }
    again = item("The same file again", "003", sections=[section("", None, attached("copy", "doc1", "a__b.txt", 3))])
    return export(account(vault("Private", item("Files", "003", sections=[files]), again)), files=members)


def _early_files() -> bytes:
    """Early files wrap each item, beside its attachment."""
    movie = {
        "attrs": {"uuid": "movie", "name": "My movie.mp4", "type": "video/mp4"},
        "path": "files/movie__My movie.mp4",
    }
    gone = {"attrs": {"uuid": "gone", "name": "gone.mp4"}, "path": "files/gone__gone.mp4"}
    wrapped: list[Part] = [
        {"item": login("Wrapped", "ada", "paper-1", trashed=False)},
        {"item": login("With a film", "ada", "paper-2"), "file": movie},
        {"item": {**login("Film is gone", "ada", "paper-3"), "trashed": True}, "file": gone, "note": "beside both"},
    ]
    for one in wrapped:
        del one["item"]["state"]
    attributes = {"version": 2, "description": "1Password Unencrypted Export", "timestamp": 1585333569}
    return export(
        account(vault("Private", *wrapped)), files={"files/movie__My movie.mp4": b"mp4"}, attributes=attributes
    )


def _unknown_keys() -> bytes:
    """Unknown keys, kinds and types at every level."""
    new: Part = {"new": {"deep": ["kept", 17, 2.50]}}
    odd = [
        field("passkey", "p", {"ssoLogin": {"provider": "somebody", "item": uuid("Plain")}}, **new),
        field("two kinds", "t", {"string": "seen", "concealed": "kept beside it"}),
        field("number as text", "n", {"string": 5}),
        field("truth", "b", {"string": True}),
        field("no day", "d", {"date": "soon"}),
        field("day with a time", "dt", {"date": 1577880061}),
        field("no month", "m", {"monthYear": 202913}),
        field("nothing", "nothing", {}),
        field("null", "null", None),
        field("list", "list", ["a", "b"]),
        field("weird", "w", {"menu": "x"}, keyboard="gamepad", placeholder="type here", clipboardFilter="ab"),
        field("bad code", "TOTP_bad", {"totp": "not base32 at all!"}),
        field("half a file", "half", {"file": {"fileName": "x.txt"}}),
        field("place", "place", {"address": {"street": "Quay 3", "country": "Sweden", "planet": "Earth"}}),
        field("mail", "mail", {"email": {"email_address": "x@example.org", "provider": "exampleMail", "verified": 1}}),
    ]
    forms = [
        field_of_form("username", "first", "user"),
        {**field_of_form("username", "second", "login"), **new},
        field_of_form("password", "unused", "password_old"),
        field_of_form("password", "used"),
        {
            "value": {"email_address": "masked@example.org", "provider": "mask"},
            "id": "e",
            "name": "mail",
            "fieldType": "E",
        },
        {"value": "✓", "id": "terms", "name": "terms", "fieldType": "C"},
        {"value": "?", "id": "q", "name": "new kind", "fieldType": "Q", "designation": "something"},
    ]
    strange = item("Everything unknown", loginFields=forms, sections=[{**section("Odd", "odd", *odd), **new}], **new)
    strange["details"] |= {"htmlForm": {"htmlMethod": "post", "htmlAction": "https://x.example.test/in"}, **new}
    strange["details"]["passwordHistory"] = [{"value": "older", "time": "long ago", **new}]
    strange["overview"] |= {
        "icons": {"small": "i.png"},
        "watchtowerExclusions": None,
        "url": "https://other.example.test",
    }
    strange["overview"]["urls"] = [{"label": "", "url": "https://x.example.test", "mode": "sometimes", **new}]
    strange |= {"state": "resting", "favIndex": 3, "createdAt": 1705341845123, "updatedAt": "yesterday"}
    wrong = {**item("Wrong types"), "details": ["no", "object"], "tags": 7}
    wrong["overview"] |= {"title": 12, "tags": ["ok", 5], "url": 3}
    plain = item("Plain", "003", notesPlain="nothing odd here")
    inner = vault("Private", strange, wrong, plain, **new)
    inner["attrs"] |= new
    outer = account(inner, **new)
    outer["attrs"] |= new
    return export(outer, attributes={**ATTRIBUTES, **new}, **new)


def _field_order() -> bytes:
    """Fields stand elsewhere than the template has them, and in sections of other names."""
    expiry = field("expiry", "expiry", {"monthYear": 203001})
    card = [
        section("Mine", "mine", field("own", "own", {"string": "first"}), field("cvv", "cvv", {"concealed": "999"})),
        section("", None, expiry, field("number", "ccnum", {"concealed": "4"})),
        section("", None, field("number", "ccnum", {"string": "a second number"})),
        section("Empty", "empty"),
    ]
    codes = [
        section("", None, code(KEY, "TOTP_1"), field("between", "x", {"string": "1"}), code("JBSWY3DP", "TOTP_2")),
        section("Links", "l", field("to", "r", {"reference": uuid("Card")}), field("after", "y", {"string": "2"})),
    ]
    form = [
        field_of_form("password", "p"),
        {"value": "x", "id": "x", "name": "x"},
        field_of_form("username", "u", "U", "E"),
    ]
    items = [item("Card", "002", sections=card), item("Codes", sections=codes, loginFields=form)]
    return export(account(vault("Private", *items)))


def _empty() -> bytes:
    return export(account(vault("Private", kind="P")), attributes=None)


def _rotten() -> bytes:
    """Three records cannot be read; the fourth can."""
    good = json.dumps(login("Good", "ada", "whole"))
    twice = '{"uuid": "a", "uuid": "b"}'
    data = json.dumps({"accounts": [account(vault("Private"))]})
    return zipped({"export.data": data.replace('"items": []', f'"items": [7, {twice}, null, {good}, "x"]')})


def _repeated() -> bytes:
    """A member stands in the container twice."""
    data = _empty()
    at = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    listed = data[at:end] * 2
    return data[:at] + listed + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 2, 2, len(listed), at, 0)


SAMPLES: dict[str, Callable[[], bytes]] = {
    "household": _household,
    "every_category": _every_category,
    "two_accounts": _two_accounts,
    "attachments": _attachments,
    "early_files": _early_files,
    "unknown_keys": _unknown_keys,
    "field_order": _field_order,
    "empty": _empty,
    "rotten_records": _rotten,
    "cut_off": lambda: _household()[:4000],
    "no_accounts": lambda: zipped({"export.data": "{}"}),
    "vaults_of_text": lambda: zipped({"export.data": '{"accounts": [{"vaults": ["a"]}]}'}),
    "not_json": lambda: zipped({"export.data": '{"accounts": ['}),
    "way_out": lambda: zipped({"export.data": '{"accounts": []}', "files/../../x": "x"}),
    "member_twice": _repeated,
}
