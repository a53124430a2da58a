"""The tables of the vault file.

``seq`` is the order of insertion: it is never used twice and survives a replacement, so an undone import leaves the
old order. ``words`` holds folded text without its content: it only narrows a search, ``vault.search`` decides.
"""

from __future__ import annotations

VERSION = 1

TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE items (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        format TEXT,
        source_id TEXT,
        body BLOB NOT NULL
    )""",
    """CREATE VIRTUAL TABLE words USING fts5(
        text, tokenize='trigram case_sensitive 1', content='', contentless_delete=1, detail=none
    )""",
    """CREATE TABLE past (
        no INTEGER PRIMARY KEY AUTOINCREMENT,
        item TEXT NOT NULL,
        at TEXT NOT NULL,
        body BLOB NOT NULL,
        run INTEGER
    )""",
    "CREATE INDEX past_item ON past (item)",
    """CREATE TABLE collections (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        body BLOB NOT NULL
    )""",
    "CREATE TABLE extras (format TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE documents (hash TEXT PRIMARY KEY, size INTEGER NOT NULL, body BLOB NOT NULL)",
    """CREATE TABLE runs (
        no INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        format TEXT NOT NULL,
        source_name TEXT NOT NULL,
        digest TEXT NOT NULL,
        at TEXT NOT NULL,
        options TEXT NOT NULL,
        summary TEXT NOT NULL,
        undone_at TEXT
    )""",
    """CREATE TABLE arrivals (
        run INTEGER NOT NULL,
        no INTEGER NOT NULL,
        place TEXT NOT NULL,
        item TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        PRIMARY KEY (run, no)
    ) WITHOUT ROWID""",
    "CREATE INDEX arrivals_item ON arrivals (item)",
    """CREATE TABLE journal (
        no INTEGER PRIMARY KEY,
        run INTEGER NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        seq INTEGER,
        before BLOB,
        after TEXT
    )""",
    "CREATE UNIQUE INDEX journal_entry ON journal (run, kind, id)",
    """CREATE TABLE quarantine (
        no INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL,
        place TEXT NOT NULL,
        reason TEXT NOT NULL,
        raw BLOB NOT NULL
    )""",
)
