"""The tables of a relay in PostgreSQL: all in the schema ``keyferry``, whose comment says which version it is.

The table of entries is divided by the hash of the vault id.
"""

from __future__ import annotations

from typing import Any

import psycopg

from vault.errors import NewerVault

_PARTITIONS = 16
_SETUP_LOCK = 0x4B46525931
_ENTRIES = """
CREATE TABLE IF NOT EXISTS keyferry.entries (
    vault bytea NOT NULL,
    device bytea NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    arrival bigint NOT NULL,
    total bigint NOT NULL,
    kind smallint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (vault, device, seq),
    UNIQUE (vault, arrival)
) PARTITION BY HASH (vault)
"""
_TABLES = (
    "CREATE SCHEMA IF NOT EXISTS keyferry",
    """CREATE TABLE IF NOT EXISTS keyferry.vaults (
        id bytea PRIMARY KEY,
        made bigint NOT NULL,
        deleted bigint,
        blob_bytes bigint NOT NULL DEFAULT 0
    )""",
    _ENTRIES,
    *(
        f"CREATE TABLE IF NOT EXISTS keyferry.entries_{number} PARTITION OF keyferry.entries"
        f" FOR VALUES WITH (MODULUS {_PARTITIONS}, REMAINDER {number})"
        for number in range(_PARTITIONS)
    ),
    "ALTER TABLE keyferry.entries ALTER COLUMN body SET STORAGE EXTERNAL",
    """CREATE TABLE IF NOT EXISTS keyferry.blobs (
        vault bytea NOT NULL,
        hash bytea NOT NULL,
        size bigint NOT NULL,
        PRIMARY KEY (vault, hash)
    )""",
    """CREATE TABLE IF NOT EXISTS keyferry.blob_parts (
        vault bytea NOT NULL,
        hash bytea NOT NULL,
        number integer NOT NULL,
        made timestamptz NOT NULL DEFAULT now(),
        body bytea NOT NULL,
        PRIMARY KEY (vault, hash, number)
    )""",
    "ALTER TABLE keyferry.blob_parts ALTER COLUMN body SET STORAGE EXTERNAL",
    """CREATE UNLOGGED TABLE IF NOT EXISTS keyferry.slots (
        id text PRIMARY KEY,
        etag text NOT NULL,
        ends double precision NOT NULL,
        body bytea NOT NULL
    )""",
)
_VERSION = 2
_LATER = (  # what a database of an earlier version may lack
    f"COMMENT ON SCHEMA keyferry IS 'keyferry relay {_VERSION}'",
    "ALTER TABLE keyferry.vaults ADD COLUMN IF NOT EXISTS dropped bigint NOT NULL DEFAULT 0",
    "CREATE INDEX IF NOT EXISTS snapshots ON keyferry.entries (vault, device, seq) WHERE kind = 3",
)


def prepare(db: psycopg.Connection[Any]) -> None:
    """Make the tables if they are not there, and what those of an earlier version lack; raises ``NewerVault``."""
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_SETUP_LOCK,))
        if db.execute("SELECT to_regclass('keyferry.slots')").fetchone() == (None,):
            for sql in _TABLES:
                db.execute(sql)
        _check_version(db)
        for sql in _LATER:
            db.execute(sql)


def _check_version(db: psycopg.Connection[Any]) -> None:
    (told,) = db.execute("SELECT obj_description(to_regnamespace('keyferry'), 'pg_namespace')").fetchone() or ("",)
    number = (told or "").rpartition(" ")[2]
    if number.isdecimal() and int(number) > _VERSION:
        raise NewerVault("the database was written by a newer relay", hint="update Keyferry")
