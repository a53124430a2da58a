"""agent status, install and uninstall as they are typed; agent run is in tests/real."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup import book as books
from backup.agent import LOCK
from backup.book import Alarm
from backup.commands.agent import is_running
from tests.migrate.terminal import Terminal
from vault import keys
from vault.files import held


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))  # no system is asked to start anything
    return Terminal(tmp_path, capsys).init()


def test_a_new_vault_is_well_and_its_agent_not_installed(terminal: Terminal) -> None:
    done = terminal("agent", "status")
    assert done.code == 0
    assert done.last == "all is well"
    facts = terminal("agent", "status", "--json").json()
    assert (facts["running"], facts["installed"], facts["last_backup"], facts["wrong"]) == (False, False, None, [])


def test_an_open_alarm_ends_with_five(terminal: Terminal) -> None:
    alarm = Alarm("2026-11-23T20:00:00Z", "local", "00", "/b/x: the file is gone")
    with terminal.store() as store:
        books.change(store, terminal.home, lambda book: books.alarmed(book, alarm))
    done = terminal("agent", "status")
    assert done.code == 5
    assert "warning: /b/x: the file is gone" in done.err
    assert done.last == "1 thing to look after"
    assert terminal("agent", "status", "--json").json()["alarms"][0]["text"] == alarm.text


def test_an_ended_alarm_is_shown_and_is_well(terminal: Terminal) -> None:
    alarm = Alarm("2026-11-23T20:00:00Z", "local", "00", "/b/x: the file is gone", ended="2026-11-23T20:00:01Z")
    with terminal.store() as store:
        books.change(store, terminal.home, lambda book: books.alarmed(book, alarm))
    done = terminal("agent", "status")
    assert done.code == 0
    assert "past alarm" in done.out and "/b/x: the file is gone" in done.out


def test_a_held_lock_means_that_an_agent_runs(terminal: Terminal) -> None:
    assert not is_running(terminal.home)
    with held(terminal.home / LOCK):
        assert is_running(terminal.home)
        assert "running" in terminal("agent", "status").out
    assert not is_running(terminal.home)


def test_a_second_agent_is_refused(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backup.commands.agent._LOCK_SECONDS", 0.0)
    with held(terminal.home / LOCK):
        done = terminal("agent", "run")
    assert done.code == 23
    assert done.err.startswith("error: another Keyferry process is the agent of this vault")


def test_install_writes_units_and_names_the_line_to_type(terminal: Terminal, tmp_path: Path) -> None:
    done = terminal("agent", "install")
    assert done.code == 0
    units = tmp_path / "config" / "systemd" / "user"
    assert sorted(path.name for path in units.iterdir()) == [
        "keyferry-agent.service",
        "keyferry-backup.service",
        "keyferry-backup.timer",
    ]
    assert str(terminal.home) in (units / "keyferry-agent.service").read_text()
    assert "systemctl --user daemon-reload && systemctl --user enable --now keyferry-agent.service" in done.out
    assert terminal("agent", "status", "--json").json()["installed"] is True
    done = terminal("agent", "uninstall")
    assert done.code == 0
    assert list(units.iterdir()) == []
    assert terminal("agent", "uninstall").last == "no agent was installed"


@pytest.mark.parametrize("word", ["install", "run"])
def test_a_vault_under_a_passphrase_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    terminal = Terminal(tmp_path, capsys)
    keys.init_vault(terminal.home, holder=keys.choose_holder(terminal.home, passphrase="throw-away")).close()
    done = terminal("agent", word)
    assert done.code == 2
    assert "keyferry key move --key-file" in done.err
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("word", ["install", "run", "status"])
def test_without_a_vault_there_is_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    done = Terminal(tmp_path, capsys)("agent", word)
    assert done.code == 21
    assert not (tmp_path / "home").exists()
