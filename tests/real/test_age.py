"""What the kit opens, the age program opens as well."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vault import keys, kit
from vault.kitcare import waiting_kit


@pytest.fixture(autouse=True)
def age() -> None:
    for program in ("age", "age-keygen"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a vault, its kit saved beside it."""
    found = tmp_path / "home"
    holder = keys.choose_holder(found, key_file=tmp_path / "k")
    keys.init_vault(found, holder=holder, kit_file=tmp_path / "kit.txt").close()
    return found


def opened(page: Path, sealed: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["age", "-d", "-i", str(page), str(sealed)], capture_output=True, timeout=60)


def test_the_saved_page_opens_the_recovery_file(home: Path, tmp_path: Path) -> None:
    done = opened(tmp_path / "kit.txt", home / "vault.recovery.age")
    assert done.returncode == 0, done.stderr
    with keys.open_keys(home) as vault:
        line = f"keyferry-vault-key-1 {vault.store.vault_id} {vault.key.hex()}\n"
    assert done.stdout == line.encode()


def test_a_new_kit_opens_and_the_old_one_no_longer_does(home: Path, tmp_path: Path) -> None:
    with keys.open_keys(home) as vault:
        keys.renew_kit(vault, "2026-11-23T00:00:00Z")
        keys.save_kit(vault, tmp_path / "new.txt")
    assert opened(tmp_path / "new.txt", home / "vault.recovery.age").returncode == 0
    assert opened(tmp_path / "kit.txt", home / "vault.recovery.age").returncode != 0


def test_a_rotated_key_is_in_the_recovery_file(home: Path, tmp_path: Path) -> None:
    with keys.open_keys(home) as vault:
        keys.rotate_key(vault)
        assert vault.key.hex().encode() in opened(tmp_path / "kit.txt", home / "vault.recovery.age").stdout


def test_the_program_names_the_same_recipient(home: Path, tmp_path: Path) -> None:
    done = subprocess.run(["age-keygen", "-y", str(tmp_path / "kit.txt")], capture_output=True, text=True, timeout=60)
    with keys.open_keys(home) as vault:
        assert done.stdout.split() == [waiting_kit(vault.store).recipient]


def test_a_key_of_the_program_is_a_kit(tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", str(tmp_path / "key.txt")], capture_output=True, timeout=60, check=True)
    text = (tmp_path / "key.txt").read_text()
    assert kit.parse(text).recipient in text


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_000])
def test_what_is_sealed_to_the_kit_by_the_program_is_ours_to_open(tmp_path: Path, size: int) -> None:
    import pyrage

    one = kit.new_kit()
    body = bytes(size)
    sealed = subprocess.run(["age", "-r", one.recipient], input=body, capture_output=True, timeout=60, check=True)
    assert pyrage.decrypt(sealed.stdout, [pyrage.x25519.Identity.from_str(one.identity)]) == body
