"""The keyring rules against a real Secret Service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.secret_service import Desktop, desktop


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Desktop]:
    with desktop(tmp_path) as found:
        yield found


def items(session: Desktop, **more: str) -> int:
    done = session.keyferry("status", "--json", **more)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["items"])


def test_a_vault_is_made_and_opened_through_the_keyring(session: Desktop) -> None:
    done = session.keyferry("init", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["key_holder"] == "keyring"
    assert session.entries() == [made["vault"], f"{made['vault']}/anchor"]
    assert items(session) == 0
    settings = json.loads((session.root / "keyferry" / "vault.json").read_text())
    assert settings["holder"] == {"kind": "keyring", "backend": "keyring.backends.SecretService.Keyring"}


def test_a_deleted_entry_comes_back_by_the_kit(session: Desktop) -> None:
    assert session.keyferry("init", "--kit", "kit.txt").returncode == 0
    session.delete_entries()
    lost = session.keyferry("status")
    assert lost.returncode == 30
    assert "keyferry unlock --kit FILE" in lost.stderr
    done = session.keyferry("unlock", "--kit", "kit.txt")
    assert done.returncode == 0, done.stderr
    assert items(session) == 0


def test_two_homes_share_one_secret_service(session: Desktop) -> None:
    homes = [str(session.root / name) for name in ("a", "b")]
    for home in homes:
        assert session.keyferry("init", KEYFERRY_HOME=home).returncode == 0
    assert len(session.entries()) == 4
    assert session.keyferry("destroy", "--yes", KEYFERRY_HOME=homes[0]).returncode == 0
    assert len(session.entries()) == 2
    assert items(session, KEYFERRY_HOME=homes[1]) == 0


def test_a_key_is_rotated_and_moved_out_and_in_again(session: Desktop) -> None:
    assert session.keyferry("init").returncode == 0
    before = session.entries()
    for words in (["key", "rotate"], ["key", "move", "--key-file", "k"]):
        done = session.keyferry(*words)
        assert done.returncode == 0, done.stderr
    assert session.entries() == []
    assert session.keyferry("key", "move", "--keyring").returncode == 0
    assert session.entries() == before
    assert items(session) == 0


def test_a_locked_keyring_is_one_sentence_and_changes_nothing(session: Desktop) -> None:
    assert session.keyferry("init").returncode == 0
    before = sorted(path.name for path in (session.root / "keyferry").iterdir())
    session.lock()
    for words in (["status"], ["kit", "new"]):
        done = session.keyferry(*words)
        assert done.returncode == 29
        assert done.stderr.startswith("error: the OS keyring is locked\n")
    assert sorted(path.name for path in (session.root / "keyferry").iterdir()) == before
    second = session.keyferry("init", KEYFERRY_HOME=str(session.root / "second"))
    assert second.returncode == 29
    assert not (session.root / "second").exists()


@pytest.mark.parametrize(
    "backend",
    [
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
        "keyring.backends.chainer.ChainerBackend",
        "keyrings.alt.file.PlaintextKeyring",
    ],
)
def test_an_untrusted_keyring_is_refused_though_a_good_one_is_there(session: Desktop, backend: str) -> None:
    done = session.keyferry("init", PYTHON_KEYRING_BACKEND=backend)
    assert done.returncode == 28
    assert "keyferry init --home" in done.stderr or "keyferry init --key-file" in done.stderr
    assert not (session.root / "keyferry").exists()
    assert session.keyferry("init").returncode == 0
    assert session.keyferry("status", PYTHON_KEYRING_BACKEND=backend).returncode == 28
    assert items(session) == 0


def test_a_disabled_keyring_stays_disabled(session: Desktop) -> None:
    """``keyring --disable`` is a person's word for all programs."""
    folder = session.root / "config" / "python_keyring"
    folder.mkdir()
    (folder / "keyringrc.cfg").write_text("[backend]\ndefault-keyring=keyring.backends.null.Keyring\n")
    done = session.keyferry("init")
    assert done.returncode == 28
    assert not (session.root / "keyferry").exists()


@pytest.mark.parametrize("address", ["", "unix:path=/nonexistent/bus", "disabled:"])
def test_without_a_bus_there_is_one_sentence(session: Desktop, address: str) -> None:
    assert session.keyferry("init").returncode == 0
    gone = session.keyferry("status", DBUS_SESSION_BUS_ADDRESS=address)
    assert (gone.returncode, gone.stderr.splitlines()[0]) == (28, "error: the OS keyring does not answer")
    none = session.keyferry("init", DBUS_SESSION_BUS_ADDRESS=address, KEYFERRY_HOME=str(session.root / "other"))
    assert none.returncode == 28
    assert "--key-file ~/keyferry.key" in none.stderr
    assert not (session.root / "other").exists()


def test_opening_loads_nothing_heavy(session: Desktop) -> None:
    """Neither other keyrings nor what only other commands need."""
    assert session.keyferry("init").returncode == 0
    heavy = "pandas rich segno pyrage keyring.backends.kwallet keyring.backends.libsecret keyring.backends.chainer gi"
    loaded = session.python(
        f"import sys, keyferry; code = keyferry.run(['status', '--json']);"
        f"print(code, sorted(set(sys.modules) & set({heavy.split()!r})))"
    )
    assert loaded.splitlines()[-1] == "0 []"
