"""Files that are known by sight but not read, or not in this form: what each looks like, and what to export instead.

A table, not code: one ``Look`` a row, the first that fits is told. It promises nothing; a row goes when an adapter
comes.
(Dossier: managers 16, KeePass and others 7, authenticators 21.)
"""

from __future__ import annotations

import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import msgspec

from vault.errors import KeyferryError, UnknownFormat, UnsafeExport

if TYPE_CHECKING:
    from migrate.catalog import Glimpse

_LIST = "keyferry formats lists what can be read; keyferry formats NAME tells how to export it"
MAP = "say what each column is with --map COLUMN=ROLE (keyferry inspect shows the columns)"
_CSV = "export from it as CSV, then say what each column is with --map COLUMN=ROLE"
_KEEPASS = "open it in KeePassXC, there Database > Export > CSV File, then name the columns with --map COLUMN=ROLE"
_CODES = (
    "export from the app as a list of otpauth:// addresses; where it writes none, Aegis or Ente Auth may import this "
    "file and write one"
)
_NO_CODES = "this app exports nothing; set the codes up anew in one that does, such as Aegis"
_UNPACK = "unpack it and name the export in it"
_UNPACK_TABLES = "unpack it; each table in it can be read with --map COLUMN=ROLE"
_PROTON = "in Proton Pass: Settings > Export > CSV; then name the columns with --map COLUMN=ROLE"
_ENPASS = "in Enpass: File > Export > CSV; then name the columns with --map COLUMN=ROLE"
_KEEPER = (
    "in Keeper: Settings > Export > CSV; Keeper writes no header, so add a first line with the names of the columns "
    "and say what each is with --map COLUMN=ROLE"
)
_AGE = "a backup of Keyferry comes back with keyferry restore FILE; decrypt any other first: age -d -i KEY FILE"
_SHEET = "save it as CSV in UTF-8, then say what each column is with --map COLUMN=ROLE"
_EXCHANGED = "it cannot be opened here; export a file from the product itself"
_1PUX = "1Password 8 writes a .1pux file, which holds far more: File > Export > all items, format 1PUX"


class Look(msgspec.Struct, frozen=True):
    """How one kind of file looks; all tests given must hold."""

    what: str  # "looks like ..."
    instead: str
    kind: str = ""  # json, csv, zip, xml, text, binary; any if empty
    magic: tuple[bytes, ...] = ()  # begins with one of these
    start: str = ""  # regular expression, found in the first 64 KiB
    keys: frozenset[str] = frozenset()  # JSON: top-level keys that must be there
    no_keys: frozenset[str] = frozenset()  # JSON: keys that must not
    record: frozenset[str] = frozenset()  # JSON: keys of the first object in the list
    header: frozenset[str] = frozenset()  # CSV: columns in lower case
    member: str = ""  # ZIP: pattern of a member's name, in lower case


def _magic(what: str, instead: str, *magic: str) -> Look:
    return Look(what, instead, kind="binary", magic=tuple(bytes.fromhex(one) for one in magic))


def _begins(what: str, instead: str, start: str, kind: str = "") -> Look:
    return Look(what, instead, kind=kind, start=start)


def _json(what: str, instead: str, keys: str = "", record: str = "", no_keys: str = "") -> Look:
    has, has_not, first = (frozenset(words.split()) for words in (keys, no_keys, record))
    return Look(what, instead, kind="json", keys=has, no_keys=has_not, record=first)


def _csv(product: str, columns: str, instead: str = MAP) -> Look:
    return Look(f"a table of {product}", instead, kind="csv", header=frozenset(columns.split(",")))


def _zip(what: str, instead: str, member: str) -> Look:
    return Look(what, instead, kind="zip", member=member)


OF_ACCOUNT = _json(
    "a Bitwarden export that only its own account can open",
    "export again as .json, or as .json (Encrypted) with a password of its own",
    "encKeyValidation_DO_NOT_EDIT",
    no_keys="data",
)

LOOKS = (
    # Bytes
    _magic("a KeePass 1 database (.kdb)", _KEEPASS, "03D9A29A65FB4BB5"),
    _magic("a KeePass database (.kdbx)", _KEEPASS, "03D9A29A67FB4BB5", "03D9A29A66FB4BB5"),
    _magic("a Password Safe database (.psafe3)", "in Password Safe: File > Export To > Plain Text; then say "
           "what each column is with --map COLUMN=ROLE", b"PWS3".hex()),
    _magic("a GNOME keyring", "it cannot be read outside of its desktop", b"GnomeKeyring\n".hex()),
    _magic("a FreeOTP backup", _CODES, "ACED0005"),
    _magic("an encrypted Stratum backup", _CODES, b"AUTHENTICATORPRO".hex(), b"AuthenticatorPro".hex()),
    _magic("an SQLite database, a program's own store", "export from the program that made it",
           b"SQLite format 3\0".hex()),
    _magic("an old Excel file (.xls)", _SHEET, "D0CF11E0A1B11AE1"),
    _magic("a picture", "scan its QR code with another program and put the otpauth:// address it holds in a text file",
           "89504E470D0A1A0A", "FFD8FF", b"GIF8".hex(), b"RIFF".hex(), "0000001866747970", "0000001C66747970"),
    _magic("a PDF", "export as a file of data, not as a document", b"%PDF".hex()),
    _magic("a packed archive", _UNPACK, "1F8B", "377ABCAF271C", b"Rar!".hex(), b"BZh".hex(), "FD377A585A00"),
    _magic("an Apple property list", _CSV, b"bplist0".hex()),
    _magic("a file encrypted with OpenSSL", "decrypt it first", b"Salted__".hex()),
    _magic("a file encrypted with age", _AGE, b"age-encryption.org/v1".hex()),
    _begins("a file encrypted with age", _AGE, r"\A-----BEGIN AGE ENCRYPTED FILE-----"),
    _begins("a file encrypted with OpenPGP, as Proton Pass writes",
            "export again without a password, as CSV, and name the columns with --map; or decrypt it first",
            r"\A\s*-----BEGIN PGP MESSAGE-----"),
    # ZIP
    _zip("a Proton Pass export", _PROTON, "*/data.pgp"),
    _zip("a Proton Pass export", _PROTON, "proton pass/data.json"),
    _zip("a Dashlane export", _UNPACK_TABLES, "*credentials.csv"),
    _zip("a Dashlane export", _UNPACK_TABLES, "*securenotes.csv"),
    _zip("an Excel workbook (.xlsx)", _SHEET, "xl/workbook.xml"),
    _zip("an office document", _SHEET, "word/document.xml"),
    _zip("an office document", _SHEET, "content.xml"),
    _zip("a 1Password 4-7 export (.1pif)", _1PUX, "*.1pif"),
    _zip("a 1Password export that was packed again", "name the .1pux file as 1Password wrote it, or pack the files "
         "again without the folder around them", "*/export.data"),
    _zip("a Raivo OTP export", _CODES, "*raivo-otp-export.json"),
    _zip("what one app hands another over (CXP), encrypted for that one", _EXCHANGED, "*index.jwe"),
    _zip("a ZIP file with an export in it", _UNPACK, "*.csv"),
    _zip("a ZIP file with an export in it", _UNPACK, "*.json"),
    _zip("a ZIP file with an export in it", _UNPACK, "*.kdbx"),
    _zip("a ZIP file with an export in it", _UNPACK, "*.1pux"),
    _zip("a ZIP file with an export in it", _UNPACK, "*.xml"),
    # JSON
    OF_ACCOUNT,
    _json("a part of an unpacked 1Password export", "name the .1pux file as 1Password wrote it",
          "version description createdAt", no_keys="items"),
    _json("a list of Bitwarden's command line (bw list items)", "bw export --format json writes a whole export",
          record="object organizationId type name"),
    _json("what Bitwarden's server sends to its apps", "in an app of Bitwarden: Settings > Export vault > .json",
          "ciphers folders profile"),
    _begins("a 1Password 4-7 export (.1pif)", _1PUX, r"\*\*\*5642bee8-a5ff-11dc-8314-0800200c9a66\*\*\*"),
    _json("the inside of a 1Password .1pux file", "name the .1pux file itself", "accounts", "attrs vaults"),
    _json("a list of LastPass's command line (lpass show)", "lpass export writes a whole table",
          record="fullname last_modified_gmt"),
    _json("Firefox's own store of logins, which is encrypted", "in Firefox: Passwords > menu > Export passwords",
          "logins nextId"),
    _json("Safari's list of payment cards", "add each: keyferry add card", "metadata payment_cards"),
    _json("Safari's history, which holds no passwords", "name the table of passwords that was exported beside it",
          "metadata history"),
    _json("what one app hands another over (CXP), encrypted for that one", _EXCHANGED, "exporterRpId payload"),
    _json("what one app hands another over (CXP), encrypted for that one", _EXCHANGED, "hpke payload"),
    _begins("a Psono export", _CSV, r'"website_password_\w+"\s*:', "json"),
    _json("a Password Boss export", _CSV, "items", "identifiers"),
    _json("an Enpass export", _ENPASS, "items", "template_type"),
    _json("a Proton Pass export", _PROTON, "vaults version"),
    _json("a Dashlane export", _CSV, "AUTHENTIFIANT"),
    _json("an encrypted Psono export", "export again without encryption, as CSV", "nonce text"),
    _json("an Avast export", _CSV, "logins cards notes"),
    _json("a Blur export", _CSV, "dntmeExport"),
    _json("an encrypted Padlock export", _CSV, "cipher keySize adata"),
    _json("a Passky export", _CSV, "encrypted passwords"),
    _json("a Passman export", _CSV, record="credential_id guid"),
    _json("a KeePassXC passkey", "it has to stay in its database", "relyingParty credentialId"),
    _json("an Aegis export", "in Aegis: Settings > Import & Export > Export, format Text", "header db"),
    _json("a 2FAS backup", _CODES, "schemaVersion"),
    _json("a FreeOTP+ export", "in FreeOTP+: Export > Key URI format", "tokens tokenOrder"),
    _json("an encrypted Ente Auth export", "in Ente Auth: Export codes > Plain text", "kdfParams encryptedData"),
    _json("a Stratum backup", "in Stratum: Back up > URI list", "Authenticators"),
    _json("a LastPass Authenticator export", _CODES, "accounts", "issuerName timeStep"),
    _json("an encrypted Proton Authenticator export", _CODES, "version salt content"),
    _json("a Proton Authenticator export", _CODES, "version entries"),
    _json("a Steam authenticator file", _CODES, "shared_secret"),
    _json("a Raivo OTP export", _CODES, record="kind timer"),
    _json("a Duo Mobile store", _NO_CODES, record="otpGenerator"),
    _json("an andOTP backup", _CODES, record="label type digits"),
    _json("a Keeper export", _KEEPER, "records"),
    _json("a Keeper export", _KEEPER, record="title custom_fields"),
    # Tables
    _csv("1Password 8", "title,url,username,password,otpauth,archived", _1PUX),
    _csv("Bitwarden Authenticator", "folder,favorite,type,name,login_uri,login_totp",
         "in Bitwarden Authenticator: Settings > Export > .json"),
    _csv("1Password 7", "title,password,scope,autosubmit", _1PUX),
    _csv("1Password 4-7", "uuid,title,scope", _1PUX),
    _csv("KeePassXC", "group,title,username,password,url,notes"),
    _csv("KeePass 1", "account,login name,web site,comments", _KEEPASS),
    _csv("NordPass", "cardholdername,cardnumber,cvc,expirydate"),
    _csv("Proton Pass", "type,name,url,username,password,note,totp"),
    _csv("Proton Pass", "name,url,username,password,note,totp"),
    _csv("Dashlane (logins)", "username,username2,title,password"),
    _csv("Dashlane (cards and accounts)", "type,account_name,cc_number"),
    _csv("Dashlane (documents)", "type,number,issue_date,place_of_issue"),
    _csv("Dashlane (people)", "type,first_name,place_of_birth"),
    _csv("RoboForm", "name,url,matchurl,login,pwd"),
    _csv("RoboForm", "name,url,login,pwd,rf_fields"),
    _csv("Zoho Vault", "secretdata,notes"),
    _csv("Zoho Vault", "secret name,secret url"),
    _csv("Buttercup", "!group_id,title"),
    _csv("Psono", "path,type,website_password_title"),
    _csv("Enpass", "title,field,value,note"),
    _csv("Myki or JumpCloud", "nickname,twofasecret"),
    _csv("Avira", "secondary_username,website"),
    _csv("Avast", "name,web,login,password"),
    _csv("True Key", "kind,tk_export_version"),
    _csv("SafeInCloud", "title,login,password,url,notes"),
    _csv("Synology C2 Password", "display_name,login_username,login_urls"),
    _csv("Passpack", "entry name,user id,shared notes"),
    _csv("Encryptr", "entry type,site url,name on card"),
    _csv("Passman", "label,custom_fields,files"),
    _csv("Blur", "domain,label,username,email,password"),
    _csv("Strongbox", "title,username,email,password,url"),
    _csv("Password Gorilla", "uuid,group,title,url,user"),
    _csv("SaferPass", "modeltype,modelversion"),
    _csv("Chrome's own database", "origin_url,username_value,password_value",
         "in Chrome: Settings > Passwords > Settings > Export passwords"),
    # XML, web pages, other text
    _begins("a KeePass key file, not a database", "name the database; this only helps to open it", r"<KeyFile\b",
            "xml"),
    _begins("a KeePass XML export", _KEEPASS, r"<KeePassFile\b", "xml"),
    _begins("a KeePass 1 XML export", _KEEPASS, r"<pwlist\b", "xml"),
    _begins("a KeePassX XML export", _KEEPASS, r"KEEPASSX_DATABASE", "xml"),
    _begins("a Password Safe XML export", _CSV, r"<passwordsafe\b", "xml"),
    _begins("a Revelation export", _CSV, r"<revelationdata\b", "xml"),
    _begins("a Figaro's Password Manager export", _CSV, r"<FPM\b", "xml"),
    _begins("a Windows Wi-Fi profile", "type its key into a note: keyferry add note", r"<WLANProfile\b", "xml"),
    _begins("an app's settings on Android, as FreeOTP and Authy keep them", _CODES, r"<map\b", "xml"),
    _begins("a Clipperz export", _CSV, r"(?i)<html.*clipperz", "xml"),
    _begins("a list of bookmarks, which holds no passwords", "export the passwords", r"(?i)<!doctype netscape-bookmark",
            "xml"),
    _begins("a SafeInCloud export", _CSV, r"<database\b[^>]*>\s*<(label|label_type|card)\b", "xml"),
    _begins("a WinAuth file", "in WinAuth: Export, which writes a list of otpauth addresses", r"<WinAuth\b", "xml"),
    _begins("an export of the add-on Password Exporter", _CSV, r'ext="Password Exporter"', "xml"),
    _begins("a table of the add-on Password Exporter", "delete its first line, then say what each column is with "
            "--map COLUMN=ROLE", r"\A# Generated by Password Exporter"),
    _begins("a web page", "export as a file of data, such as CSV or JSON", r"(?i)<(!doctype )?html\b", "xml"),
    _begins("a Google Authenticator transfer code", "import it in Aegis, and export from there as text",
            r"(?i)\A\s*otpauth-migration:"),
    _begins("a dump of an Apple keychain", "in Apple's Passwords app: File > Export All Passwords to File",
            r'\Akeychain: "'),
    _begins("a Kaspersky Password Manager text", _CSV, r"\A\s*(Websites|Applications|Other Accounts|Notes)\s+[^\n]*:"),
    _begins("a GNOME keyring", "it cannot be read outside of its desktop", r"\A\[keyring\]\s"),
    _begins("a Passpie export", _CSV, r"\Acredentials:\s*\n- "),
    _begins("a private key", "add it to an item: keyferry add ssh-key", r"\A\s*-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    _begins("an encrypted Samsung Pass export", "Samsung Pass can hand passwords over to Google's; export those as CSV",
            r"\A[A-Za-z0-9+/]{500,}={0,2}\s*\Z"),
)  # fmt: skip

_ROW_BELOW = re.compile(rb'[^\r\n]*[\r\n]+"[^"\r\n]*"[,;\t]"')  # a line, then one of cells in quotes

_KINDS = {"json": "JSON", "zip": "a ZIP file", "xml": "XML", "text": "plain text"}


def is_known_binary(data: bytes) -> bool:
    """Whether a file begins as one of the binary files that are known by sight."""
    return data.startswith(_MAGIC)


_MAGIC = tuple(magic for look in LOOKS for magic in look.magic)


def looks_like(seen: Glimpse, name: str) -> KeyferryError:
    """Return the error that says what a file looks like and what to export instead."""
    if seen.kind == "xml" and b"<!ENTITY" in seen.start:
        return UnsafeExport(
            f"{name} declares XML entities, by which a small file can grow without end",
            hint="no product writes such an export; get the file again from where you trust it",
        )
    look = look_of(seen)
    if look is not None and look.instead != MAP:
        return unread(look, name)
    if seen.broken is not None:
        return seen.broken
    if seen.kind == "csv":
        return _undecided(seen, name, look)
    if seen.kind == "text" and _ROW_BELOW.match(seen.start):
        from migrate.mapping import ADD_HEADER

        return UnknownFormat(f"{name} has no first line with the names of columns", hint=ADD_HEADER)
    if seen.kind in _KINDS:
        return UnknownFormat(f"{name} is {_KINDS[seen.kind]}, but of no product known here", hint=_LIST)
    return UnknownFormat(f"{name} is of no known format", hint=_LIST)


def _undecided(seen: Glimpse, name: str, look: Look | None) -> KeyferryError:
    from migrate.mapping import undecided_columns

    error = undecided_columns(seen.header, {}, name, is_header=look is not None)
    if look is None or not error.message.startswith(name):
        return error
    return type(error)(f"{name} looks like {look.what} and{error.message.removeprefix(name)}", hint=error.hint)


def unread(look: Look, name: str) -> UnknownFormat:
    """Return the error for a file that is known but not read."""
    return UnknownFormat(f"{name} looks like {look.what}, for which there is no reader", hint=look.instead)


def look_of(seen: Glimpse) -> Look | None:
    """Return the first look that a file has."""
    return next((one for one in LOOKS if fits(one, seen)), None)


def fits(look: Look, seen: Glimpse) -> bool:
    """Whether all tests of a look hold."""
    if look.kind and look.kind != seen.kind:
        return False
    if look.header and not look.header <= {name.lower() for name in seen.header}:
        return False
    if look.member and not any(fnmatch(name.lower(), look.member) for name in seen.members):
        return False
    return (
        (not look.magic or seen.start.startswith(look.magic))
        and (not look.start or re.search(look.start, seen.start.decode("utf-8", "replace")) is not None)
        and look.keys <= seen.keys
        and not look.no_keys & seen.keys
        and look.record <= (seen.record or frozenset())
    )


def is_row(header: tuple[str, ...]) -> bool:
    """Whether what should be a header is a row of values: an address, a mail address or a number among them."""
    return any(re.search(r"://|^\S+@\S+\.\S+$|^\d+$", cell) for cell in header)
