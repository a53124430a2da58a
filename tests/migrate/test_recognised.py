"""Files of other products are known by sight: the sentence names them and what to export instead."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from migrate import catalog
from migrate.recognised import LOOKS
from vault.errors import DamagedExport, KeyferryError, UndecidedColumns, UnknownFormat, UnsafeExport


def packed(*members: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for member in members:
            archive.writestr(member, b"x")
    return memory.getvalue()


def said(data: bytes, name: str = "file") -> KeyferryError:
    with pytest.raises(KeyferryError) as told:
        catalog.open_source(Path(name), data=data)
    return told.value


def js(value: object) -> bytes:
    return json.dumps(value).encode()


FILES = {
    "KeePass 1 database": bytes.fromhex("03D9A29A65FB4BB5") + bytes(120),
    "KeePass database": bytes.fromhex("03D9A29A67FB4BB5") + bytes(range(256)),
    "Password Safe": b"PWS3" + bytes(range(256)),
    "FreeOTP backup": bytes.fromhex("ACED0005737200") + b"\x11java.util.HashMap",
    "Stratum": b"AUTHENTICATORPRO" + bytes(range(200)),
    "SQLite": b"SQLite format 3\0" + bytes(100),
    "Excel file (.xls)": bytes.fromhex("D0CF11E0A1B11AE1") + bytes(600),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "PDF": b"%PDF-1.7\n1 0 obj",
    "packed archive": b"\x1f\x8b\x08\x00" + bytes(range(40)),
    "encrypted with age": b"age-encryption.org/v1\n-> X25519 abc\n--- x\n" + bytes(range(256)),
    "OpenPGP": b"-----BEGIN PGP MESSAGE-----\n\nwcDMA\n-----END PGP MESSAGE-----\n",
    "Proton Pass": packed("Proton Pass/data.pgp"),
    "Proton Pass export": packed("Proton Pass/data.json", "Proton Pass/files/a"),
    "Dashlane export": packed("dashlane-credential-export/credentials.csv", "securenotes.csv"),
    "Excel workbook": packed("[Content_Types].xml", "xl/workbook.xml"),
    "(.1pif)": packed("data.1pif/data.1pif"),
    "a 1Password export that was packed again": packed("1PasswordExport/export.data", "1PasswordExport/files/a"),
    "a ZIP file with an export": packed("household.1pux"),
    "unpacked 1Password": js({"version": 3, "description": "1Password Unencrypted Export", "createdAt": 1700000000}),
    "Raivo": packed("raivo-otp-export.json", "raivo-otp-export.html"),
    "only its own account": js({"encrypted": True, "encKeyValidation_DO_NOT_EDIT": "2.a|b|c", "folders": [],
                                "items": [{"type": 1, "name": "2.a|b|c"}]}),
    "bw list items": js([{"object": "item", "organizationId": None, "type": 1, "name": "x", "login": {}}]),
    "1Password 4-7 export": b'{"uuid":"A","title":"x"}\n***5642bee8-a5ff-11dc-8314-0800200c9a66***\n',
    "inside of a 1Password": js({"accounts": [{"attrs": {}, "vaults": []}]}),
    "Enpass export": js({"folders": [], "items": [{"title": "x", "template_type": "login.default"}]}),
    "a Proton Pass": js({"version": "1.29.0", "vaults": {"a": {"name": "x", "items": []}}}),
    "lpass show": js([{"id": "1", "name": "x", "fullname": "a/x", "last_modified_gmt": "1", "note": ""}]),
    "server sends": js({"object": "sync", "profile": {}, "folders": [], "ciphers": []}),
    "Firefox's own store": js({"nextId": 2, "logins": [{"hostname": "https://a.example"}], "version": 3}),
    "payment cards": js({"metadata": {"data_type": "payment_cards"}, "payment_cards": []}),
    "Safari's history": js({"metadata": {"data_type": "history"}, "history": []}),
    "(CXP)": js({"version": {"major": 1, "minor": 0}, "exporterRpId": "a.example", "payload": "x"}),
    "(CXP), encrypted": js({"version": 0, "hpke": {}, "exporter": "a.example", "payload": "x"}),
    "encrypted for that one": packed("CXP-Export/index.jwe", "CXP-Export/documents/a.jwe"),
    "Psono": js({"folders": [], "items": [{"id": "1", "type": "website_password", "name": "x",
                                          "website_password_url": "https://a.example"}]}),
    "a Psono": js({"folders": [{"id": "2", "name": "f", "items": [{"name": "x", "website_password_password": "y"}]}]}),
    "Password Boss": js({"folders": {}, "items": [{"id": "1", "type": "Login", "name": "x", "identifiers": {}}]}),
    "a Dashlane": js({"AUTHENTIFIANT": []}),
    "Aegis": js({"version": 1, "header": {"slots": None}, "db": {"entries": []}}),
    "2FAS": js({"services": [], "schemaVersion": 4}),
    "FreeOTP+": js({"tokens": [], "tokenOrder": []}),
    "Ente Auth": js({"version": 1, "kdfParams": {}, "encryptedData": "x", "encryptionNonce": "y"}),
    "a Stratum": js({"Authenticators": [], "Categories": []}),
    "LastPass Authenticator": js({"accounts": [{"issuerName": "a", "timeStep": 30}], "folders": []}),
    "Proton Authenticator": js({"version": 1, "entries": []}),
    "Steam": js({"shared_secret": "x", "account_name": "y"}),
    "andOTP": js([{"secret": "A", "label": "x", "type": "TOTP", "digits": 6}]),
    "Keeper": js({"records": [{"title": "x", "custom_fields": {}}]}),
    "Bitwarden Authenticator": b"folder,favorite,type,name,login_uri,login_totp\n,,1,x,,otpauth://totp/x,x,30,6\n",
    "1Password 8": b"Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\n",
    "1Password 4-7": b'"UUID","TITLE","SCOPE","AUTOSUBMIT","1: USERNAME"\n',
    "add-on Password Exporter": b"# Generated by Password Exporter; Export format 1.0.4; Encrypted: false\n"
                                b'"hostname","username","password"\n',
    "KeePassXC": b'"Group","Title","Username","Password","URL","Notes","TOTP"\n',
    "KeePass 1": b'"Account","Login Name","Password","Web Site","Comments"\n',
    "NordPass": b"name,url,username,password,note,cardholdername,cardnumber,cvc,expirydate,zipcode,folder\n",
    "Dashlane": b"username,username2,username3,title,password,note,url,category,otpUrl\n",
    "RoboForm": b"Name,Url,MatchUrl,Login,Pwd,Note,Folder,RfFieldsV2\n",
    "Zoho": b"Password Name,Description,Password URL,SecretData,Notes,CustomData\n",
    "Zoho Vault": b'"Secret Name","Secret URL","Notes"\n',
    "Chrome's own database": b"origin_url,action_url,username_element,username_value,password_element,password_value\n",
    "SaferPass": b'"modelType","modelVersion","url","username","password","notes"\n',
    "Padlock": js({"version": 1, "cipher": "aes", "keySize": 256, "salt": "x", "iv": "y", "adata": "z", "ct": "w"}),
    "Clipperz": b"<html><head><title>Clipperz data</title></head><body></body></html>",
    "GNOME keyring": b"[keyring]\ndisplay-name=x\n",
    "Passpie": b"credentials:\n- comment: ''\n  login: ada\n",
    "Buttercup": b"!type,!group_id,!group_name,!group_parent,title,username,password\n",
    "KeePass XML": b'<?xml version="1.0"?>\n<KeePassFile><Root/></KeePassFile>',
    "KeePassX XML": b"<!DOCTYPE KEEPASSX_DATABASE>\n<database></database>",
    "KeePass key file": b'<?xml version="1.0"?>\n<KeyFile><Meta/></KeyFile>',
    "bookmarks": b"<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<TITLE>Bookmarks</TITLE>",
    "SafeInCloud": b'<?xml version="1.0"?>\n<database>\n<label name="x" id="1"/></database>',
    "WinAuth": b'<?xml version="1.0"?>\n<WinAuth version="3.5"></WinAuth>',
    "of the add-on": b'<xml>\n<entries ext="Password Exporter" encrypt="false"></entries></xml>',
    "web page": b"<!doctype html><html><body>passwords</body></html>",
    "Google Authenticator": b"otpauth-migration://offline?data=CjoKFDEy",
    "Apple keychain": b'keychain: "/Users/a/Library/Keychains/login.keychain-db"\nversion: 512\n',
    "Kaspersky": b"Websites\n\nWebsite name: x\nPassword: y\n",
    "private key": b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n",
}  # fmt: skip


@pytest.mark.parametrize("what", list(FILES))
def test_a_file_is_named_and_a_way_is_shown(what: str) -> None:
    error = said(FILES[what])
    assert isinstance(error, UnknownFormat | UndecidedColumns)
    assert what in error.message
    assert error.hint


def test_a_table_of_a_product_without_a_reader_shows_its_columns() -> None:
    error = said(FILES["NordPass"], "nord.csv")
    assert isinstance(error, UndecidedColumns)
    assert error.message.startswith("nord.csv looks like a table of NordPass and has columns without a decision: name,")
    assert "keyferry migrate nord.csv --map name=title" in error.hint


def test_every_kind_of_look_says_what_to_do_and_tests_something() -> None:
    for look in LOOKS:
        assert look.what and look.instead
        assert look.magic or look.start or look.keys or look.record or look.header or look.member


def test_no_look_hides_a_format_that_can_be_read() -> None:
    """Adapters are asked first; a look that fits their samples would be a sentence nobody ever sees."""
    for folder in Path(__file__).parents[2].joinpath("samples").iterdir():
        for sample in folder.glob("household.*"):
            if not sample.name.endswith((".expected.json", ".options.json")) and folder.name != "generic_csv":
                assert catalog.open_source(sample).format == READ_AS.get(folder.name, folder.name)


READ_AS = {"cxf_strict": "cxf"}  # a way of writing; what it wrote is CXF like any other


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}", "JSON, but of no product"),
        (b"[1, 2]", "JSON, but of no product"),
        (b"<a><b/></a>", "XML, but of no product"),
        (packed("readme.txt"), "ZIP file, but of no product"),
        (b"hello", "plain text, but of no product"),
        (b"[connection]\nid=x\npsk=y\n", "plain text, but of no product"),
        (b"Konto,Adresse,Kennwort\n1,2,3\n", "columns without a decision: Konto, Adresse, Kennwort"),
        (bytes(range(32)) * 20, "no known format"),
    ],
)
def test_what_nobody_knows_is_told_by_its_kind(data: bytes, words: str) -> None:
    error = said(data)
    assert isinstance(error, UnknownFormat | UndecidedColumns)
    assert words in error.message


@pytest.mark.parametrize(
    "row",
    [
        b"My bank,https://bank.example.org,ada,hunter2\n",
        b"My bank,ada@example.org,hunter2\n",
        b"Home,My bank,ada,4711\n",
    ],
)
def test_a_table_without_a_header_is_told_and_not_shown(row: bytes) -> None:
    error = said(row + row)
    assert "without a header" in error.message
    assert "hunter2" not in error.message + error.hint and "4711" not in error.message + error.hint


@pytest.mark.parametrize("row", [b"My bank,ada,hunter2\n", b"Mail,ada,hunter2\n", b"hunter2;ada\n"])
def test_a_first_line_that_may_hold_values_is_not_shown(row: bytes) -> None:
    error = said(row + row)
    assert isinstance(error, UnknownFormat)
    assert "may hold values" in error.message and "--map COLUMN=ROLE" in error.hint
    assert "hunter2" not in error.message + error.hint


def test_entities_in_xml_are_refused_unread() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><KeePassFile>&b;</KeePassFile>'
    assert isinstance(said(bomb), UnsafeExport)


@pytest.mark.parametrize(
    "data", [b'{"items": [', b'{"items": [{"a": 1}', b'[{"a": "', b'{"a": nul}', b'{"a": 1} {', b"{"]
)
def test_broken_json_of_nobody_is_damage(data: bytes) -> None:
    error = said(data)
    assert isinstance(error, DamagedExport)
    assert "line 1" in error.message


def test_nesting_without_end_is_refused() -> None:
    assert "nested too deeply" in said(b'{"items": ' + b"[" * 10_000 + b"]" * 10_000 + b"}").message
    assert "nested too deeply" in said(b"[" * 100_000).message


def test_a_table_whose_first_line_is_one_cell_is_told_to_have_no_header() -> None:
    error = said(b'"empty"\n"ACME","https://acme.example","ann","pw"\n', "old.csv")
    assert isinstance(error, UnknownFormat)
    assert "names of columns" in error.message and "--map" in error.hint


@pytest.mark.parametrize(
    "header", ["Title,Username,Password", "Title,Username,Password,URL,Notes", "Title,Url,Username,Password,Notes"]
)
def test_a_table_that_only_resembles_apple_s_is_nobody_s(header: str) -> None:
    assert isinstance(said(f"{header}\na,b,c,d,e\n".encode(), "t.csv"), UndecidedColumns)


def test_a_zip_with_any_export_in_it_is_no_product_s() -> None:
    assert "a ZIP file with an export in it" in said(packed("export.json")).message
