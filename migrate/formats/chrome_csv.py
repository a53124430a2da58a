"""Chrome, Edge, Brave, Opera, Vivaldi and other Chromium browsers, CSV export (dossier: Chromium 3.1)."""

from __future__ import annotations

from migrate.adapter import Signature
from migrate.columns import Dialect, table
from migrate.draft import note, password, title, url, username
from migrate.leaving import Leaving
from vault.model import BasicAuth, GeneratedPassword

SIGNATURE = Signature(
    product="Chrome, Edge, Brave, Opera, Vivaldi",
    suffix=".csv",
    kind="csv",
    header=frozenset({"name", "url", "username", "password"}),
    header_only=frozenset({"name", "url", "username", "password", "note"}),
    export_steps="Settings > Passwords (Google Password Manager) > Settings > Export passwords (Download file)",
    cannot_hold=("passkeys", "one-time codes", "cards and addresses", "folders", "dates", "attachments"),
)


def has_login(leaving: Leaving) -> bool:
    """Whether the item has what browsers import: an address and a password."""
    kinds = (BasicAuth, GeneratedPassword)
    return bool(leaving.urls) and any(
        credential.password for credential, _ in leaving.parts if type(credential) in kinds
    )


# Windows ends lines with CRLF, the others with LF; rows of one password used on several sites are left apart.
ADAPTER = table(
    SIGNATURE,
    {"name": title, "url": url, "username": username, "password": password, "note": note},
    standards=(("name", "url", "username", "password", "note"), ("name", "url", "username", "password")),
    dialect=Dialect(least=4, takes=has_login),
)
