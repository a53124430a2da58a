"""Safari and Apple Passwords, CSV export (dossier: Apple 3.3).

The whole spelling of the header decides: other products write the same names in lower case.
"""

from __future__ import annotations

from migrate.adapter import Signature
from migrate.columns import Dialect, table
from migrate.draft import Column, note, password, title, totp, url, username
from migrate.formats.chrome_csv import has_login
from migrate.leaving import Leaving
from vault import otp
from vault.model import Totp

HEADERS = (
    ("Title", "URL", "Username", "Password", "Notes", "OTPAuth"),
    ("Title", "Url", "Username", "Password"),
    ("Title", "Url", "Username", "Password", "OTPAuth"),
)
_WITHOUT_NOTES = (("Title", "URL", "Username", "Password"), ("Title", "URL", "Username", "Password", "OTPAuth"))

SIGNATURE = Signature(
    product="Safari, Apple Passwords",
    suffix=".csv",
    kind="csv",
    header=frozenset({"Title", "Username", "Password"}),
    headers=frozenset(frozenset(one) for one in (*HEADERS, *_WITHOUT_NOTES)),
    export_steps="Passwords > File > Export All Passwords to File (macOS); Safari > File > Export > Passwords",
    cannot_hold=("passkeys", "secure notes", "cards", "Wi-Fi networks", "groups", "dates", "attachments"),
)


def _address(code: Totp) -> str | None:
    """Return the otpauth address, which is all that Apple reads; an unchanged one as it was."""
    if code.kind != "totp":
        return None
    text = otp.text_of(code)
    return text if text.lower().startswith("otpauth://") else otp.uri(code)


def _otpauth(leaving: Leaving) -> str:
    return leaving.totp(otp.text_of if leaving.own else _address)


ADAPTER = table(
    SIGNATURE,
    {
        "Title": title,
        "URL": url,
        "Username": username,
        "Password": password,
        "Notes": note,
        "OTPAuth": Column(totp.read, _otpauth),
    },
    standards=HEADERS,
    dialect=Dialect(any_case=True, least=3, takes=has_login),
)
