"""The vaults, sets and commands behind the rows about backups.

Run as ``python -m benchmarks.backups HOME SIZE...`` it puts random attachments of these sizes into a vault.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

MEGABYTE = 1_000_000
ATTACHED = 500 * MEGABYTE


def attach(home: Path, sizes: Sequence[int]) -> None:
    """Put random bytes into the vault, as attachments of these sizes."""
    from vault import keys

    with keys.open_vault(home) as store:
        for size in sizes:
            store.put_document(os.urandom(size))


def make_plain(folder: Path) -> None:
    """Make what ``age`` is measured with: a key of its own and a file as large as the attachments."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    (folder / "age.key").write_text(f"{identity}\n")
    (folder / "age.recipient").write_text(f"{identity.to_public()}\n")
    with (folder / "plain").open("wb") as file:
        for _ in range(ATTACHED // MEGABYTE):
            file.write(os.urandom(MEGABYTE))


def age_there_and_back(source: Path, at: Path) -> Sequence[str]:
    """Return the command by which ``age`` encrypts the file of ``make_plain`` and decrypts it again, both to disk."""
    sealed, back = shlex.quote(str(at / "sealed.age")), shlex.quote(str(at / "back"))
    plain, key, recipient = (shlex.quote(str(source / name)) for name in ("plain", "age.key", "age.recipient"))
    return ["sh", "-c", f"age -R {recipient} -o {sealed} {plain} && age -d -i {key} -o {back} {sealed}"]


if __name__ == "__main__":
    attach(Path(sys.argv[1]), [int(size) for size in sys.argv[2:]])
