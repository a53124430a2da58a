"""Sentences for files we know by sight but cannot read, or not in this form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault.errors import UnknownFormat

if TYPE_CHECKING:
    from migrate.catalog import Glimpse


def looks_like(seen: Glimpse, name: str) -> UnknownFormat:
    """Return the error that says what a file looks like and what to export instead."""
    what, hint = _say(seen)
    return UnknownFormat(f"{name} {what}", hint=hint)


def _say(seen: Glimpse) -> tuple[str, str]:
    if seen.kind == "json":
        if "encKeyValidation_DO_NOT_EDIT" in seen.keys and "data" not in seen.keys:
            return (
                "is a Bitwarden export that only its own account can open",
                "export again as .json, or as .json (Encrypted) with a password of its own",
            )
        return "is JSON, but of no product known here", _LIST
    if seen.kind == "zip":
        return "is a ZIP file, but of no product known here", _LIST
    if seen.kind == "xml":
        return "is XML or a web page, but of no product known here", _LIST
    if seen.kind == "csv":
        return (
            f"is a table of {len(seen.header)} columns that no known product writes",
            "say what each column is with --map COLUMN=ROLE (keyferry inspect shows the columns)",
        )
    return "is of no known format", _LIST


_LIST = "keyferry formats lists what can be read; keyferry formats NAME tells how to export it"
