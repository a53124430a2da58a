"""migrate, convert, export and inspect as they are typed: what they say, write and refuse."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.migrate.household import as_bytes, export, household, login
from tests.migrate.terminal import Terminal
from vault.canonical import digest

CHROME = b"name,url,username,password,note\nAgent,https://agent.example.test,tom,007,\nNews,https://news.test,a,n-1,\n"
ITEMS = {"new", "same", "changed", "conflict", "quarantined"}
VALUES = {"total", "arrived", "elsewhere", "changed", "dropped", "quarantined", "structure"}


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """An empty vault."""
    return Terminal(tmp_path, capsys).init()


@pytest.fixture
def file(terminal: Terminal) -> Path:
    """The household's export."""
    return terminal.write("export.json", as_bytes(household()))


def state(terminal: Terminal) -> tuple[str, int]:
    with terminal.store() as store:
        return digest(store.vault()), len(store.runs())


def count(terminal: Terminal) -> int:
    with terminal.store() as store:
        return store.count()


# --- migrate


def test_the_closing_line_says_what_happened(terminal: Terminal, file: Path) -> None:
    done = terminal("migrate", file)
    assert (done.code, done.err) == (0, "")
    assert done.last.startswith("done: 166 of 166 values were found again in the vault; keyferry undo ")
    again = terminal("migrate", file)
    assert again.last == "nothing new: 166 of 166 values were found again in the vault"


def test_json_has_the_shape_that_was_promised(terminal: Terminal, file: Path) -> None:
    made = terminal("migrate", "--json", file).json()
    assert made["format"] == "bitwarden_json"
    assert set(made["items"]) == ITEMS and set(made["values"]) == VALUES
    assert made["items"]["new"] == 16
    assert made["run"] == terminal("runs", "--json").json()[0]["run"]


def test_several_sources_are_one_plan(terminal: Terminal, file: Path) -> None:
    done = terminal("migrate", "--json", file, terminal.write("chrome.csv", CHROME))
    assert done.code == 0
    made = done.json()
    assert made["items"] == {"new": 17, "same": 1, "changed": 0, "conflict": 0, "quarantined": 0}
    assert [one["format"] for one in made["sources"]] == ["bitwarden_json", "chrome_csv"]
    assert len(terminal("runs", "--json").json()) == 2


def test_one_source_that_fails_takes_the_others_with_it(terminal: Terminal, file: Path) -> None:
    before = state(terminal)
    done = terminal("migrate", file, terminal.write("cut.json", as_bytes(household())[:900]))
    assert done.code == 13
    assert "cut.json" in done.err
    assert state(terminal) == before


def test_the_same_file_named_twice_is_refused(terminal: Terminal, file: Path) -> None:
    done = terminal("migrate", file, file)
    assert (done.code, "named twice" in done.err) == (2, True)


def test_a_dry_run_changes_nothing_and_says_everything(terminal: Terminal, file: Path) -> None:
    before, files = state(terminal), sorted(os.listdir(terminal.home))
    done = terminal("migrate", "--dry-run", file)
    assert done.code == 0
    assert done.last == "dry run: 166 of 166 values were found again in the vault; nothing was changed"
    assert state(terminal) == before
    assert sorted(os.listdir(terminal.home)) == files


def test_a_dry_run_without_a_vault_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    terminal = Terminal(tmp_path, capsys)
    file = terminal.write("export.json", as_bytes(household()))
    assert terminal("migrate", "--dry-run", file).code == 0
    assert sorted(os.listdir(tmp_path)) == ["export.json"]


def test_what_was_set_aside_is_exit_3_unless_it_is_accepted(terminal: Terminal) -> None:
    bad = terminal.write("bad.json", as_bytes(household()).replace(b'"reprompt": 0', b'"reprompt": NaN', 1))
    done = terminal("migrate", bad)
    assert done.code == 3
    assert "quarantined  items/0 (line " in done.out
    (run,) = (line.split()[7] for line in done.out.splitlines() if line.startswith("set aside unread: 1 record;"))
    assert '"reprompt": NaN' in terminal("runs", run, "--reveal").out
    assert terminal("migrate", bad, "--accept-losses").code == 0


def test_a_conflict_is_told_on_standard_error(terminal: Terminal) -> None:
    assert terminal("migrate", terminal.write("1.csv", CHROME)).code == 0
    done = terminal("migrate", terminal.write("2.csv", CHROME.replace(b"007", b"008")))
    assert done.code == 0
    assert "warning: accounts that have another password here than in the export: 1; both are kept" in done.err
    assert count(terminal) == 3


# --- deleting the source


def test_the_source_is_deleted_only_after_the_kit_was_checked(terminal: Terminal, file: Path) -> None:
    done = terminal("migrate", file, "--delete-source", "--yes")
    assert file.exists()
    assert "was not deleted: the recovery kit is not checked" in done.err
    kit = terminal.folder / "kit"
    assert terminal("kit", "save", kit).code == 0
    assert terminal("kit", "check", kit).code == 0
    done = terminal("migrate", file, "--delete-source", "--yes")
    assert not file.exists()
    assert "snapshots, synced copies and the trash of other programs may still hold it" in done.out


def test_yes_alone_deletes_nothing(terminal: Terminal, file: Path) -> None:
    kit = terminal.folder / "kit"
    assert terminal("kit", "save", kit).code == 0
    assert terminal("kit", "check", kit).code == 0
    assert terminal("migrate", file, "--yes").code == 0
    assert file.exists()


def test_a_source_with_quarantined_records_is_never_deleted(terminal: Terminal) -> None:
    kit = terminal.folder / "kit"
    assert terminal("kit", "save", kit).code == 0
    assert terminal("kit", "check", kit).code == 0
    bad = terminal.write("bad.json", as_bytes(household()).replace(b'"reprompt": 0', b'"reprompt": NaN', 1))
    done = terminal("migrate", bad, "--delete-source", "--yes")
    assert (done.code, bad.exists()) == (3, True)
    assert "may be the only copy" in done.err


# --- reports


@pytest.mark.parametrize("suffix", [".json", ".html"])
def test_a_report_is_private_and_without_titles_unless_asked(terminal: Terminal, file: Path, suffix: str) -> None:
    path = terminal.folder / f"report{suffix}"
    assert terminal("migrate", file, "--report", path).code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "Bitwarden" in text and "My bank" not in text and "futureKey" not in text
    assert terminal("migrate", file, "--report", path, "--titles").code == 0
    assert "My bank" in path.read_text()


def test_a_report_of_another_kind_is_refused(terminal: Terminal, file: Path) -> None:
    assert terminal("migrate", file, "--report", terminal.folder / "report.txt").code == 2


# --- inspect


def test_inspect_counts_and_shows_no_values(terminal: Terminal, file: Path) -> None:
    before = state(terminal)
    done = terminal("inspect", "--json", file)
    made = done.json()
    assert made["format"] == "bitwarden_json"
    assert made["kinds"] == {"login": 11, "card": 1, "note": 2, "identity": 1, "ssh-key": 1}
    assert "attachments" in made["cannot_hold"]
    assert made["values"]["total"] == 166
    shown = terminal("inspect", file).out + done.out
    assert all(text not in shown for text in ("kr,on", "battery", "My bank", "4111", "ada@"))
    assert state(terminal) == before


def test_one_item_and_a_product_of_any_name_make_a_sentence(terminal: Terminal) -> None:
    file = terminal.write("codes.txt", b"otpauth://totp/Mail:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n")
    said = "codes.txt is an export of Authenticator apps (list of otpauth addresses) (otpauth_uris)"
    shown = terminal("inspect", file).out.splitlines()
    assert (shown[0], shown[-1]) == (said, "1 item, 1 value: 1 one-time code")
    assert terminal("migrate", file).out.startswith(f"{said}: 1 item (1 one-time code)\n")


# --- convert


def test_convert_needs_no_vault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(tmp_path, capsys)
    source, out = terminal.write("export.json", as_bytes(household())), tmp_path / "out.json"
    done = terminal("convert", source, out, "--to", "bitwarden_json")
    assert (done.code, done.err) == (0, "")
    assert done.last == "wrote 16 items to out.json as bitwarden_json, read again and compared; nothing left out"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert _normal(json.loads(out.read_bytes())) == _normal(household())
    assert not terminal.home.exists()


def _normal(data: dict[str, Any]) -> Any:
    """Return an export without what is null or empty, in a fixed order: folders come after those they are in."""
    made = _bare(data)
    made["folders"].sort(key=lambda one: one["name"])
    return json.dumps(made, sort_keys=True)


def _bare(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: bare for key, value in node.items() if (bare := _bare(value)) not in (None, [], {}, "")}
    return [_bare(value) for value in node] if isinstance(node, list) else node


def test_convert_writes_to_a_pipe_and_says_nothing_there(terminal: Terminal, file: Path) -> None:
    done = terminal.shell("convert", file, "-", "--to", "bitwarden_json")
    assert done.code == 0
    assert len(json.loads(done.out)["items"]) == 16


def test_convert_reads_from_a_pipe(terminal: Terminal) -> None:
    out = terminal.folder / "out.json"
    done = terminal.shell("convert", "-", out, "--to", "bitwarden_json", stdin=CHROME)
    assert done.code == 0, done.err
    assert [one["name"] for one in json.loads(out.read_bytes())["items"]] == ["Agent", "News"]


def test_what_the_target_cannot_hold_is_exit_3_and_named(terminal: Terminal, file: Path) -> None:
    out = terminal.folder / "out.txt"
    done = terminal("convert", file, out, "--to", "otpauth_uris")
    assert done.code == 3
    assert "cannot hold" in done.out
    assert len(out.read_text().splitlines()) == 3
    out.unlink()
    assert terminal("convert", file, out, "--to", "otpauth_uris", "--accept-losses").code == 0


def test_convert_json_counts_what_was_left_out_as_dropped(terminal: Terminal, file: Path) -> None:
    done = terminal("convert", "--json", file, terminal.folder / "out.txt", "--to", "otpauth_uris")
    made = done.json()
    assert set(made["items"]) == ITEMS and set(made["values"]) == VALUES
    values = made["values"]
    assert values["dropped"] > 0
    assert values["total"] == sum(values[fate] for fate in VALUES - {"total", "structure"})


def test_convert_counts_the_items_that_were_written(terminal: Terminal) -> None:
    note = {"type": 2, "name": "Alarm code", "notes": "4711", "fields": [{"name": "where", "value": "hall", "type": 0}]}
    file = terminal.write("two.json", as_bytes(export([login("a", "x", "1"), note])))
    done = terminal("convert", file, terminal.folder / "out.csv", "--to", "lastpass_csv")
    assert done.last.startswith("wrote 2 items to out.csv")
    done = terminal("convert", file, terminal.folder / "codes.txt", "--to", "otpauth_uris")
    assert done.last.startswith("wrote 0 items to codes.txt")
    done = terminal("convert", file, terminal.folder / "browser.csv", "--to", "chrome_csv", "--json")
    assert {loss["member"]: loss["values"] for loss in done.json()["losses"]}["item"] >= 4


def test_a_folder_is_converted_file_by_file_and_one_failure_is_named(terminal: Terminal) -> None:
    source, dest = terminal.folder / "in", terminal.folder / "out"
    source.mkdir()
    (source / "a.json").write_bytes(as_bytes(export([login("a", "x", "1")])))
    (source / "b.csv").write_bytes(CHROME)
    (source / "c.json").write_bytes(b'{"items": [')
    done = terminal("convert", source, dest, "--to", "bitwarden_json")
    assert done.code == 13
    assert "c.json" in done.err
    assert done.last == "converted 2 of 3 files"
    assert sorted(os.listdir(dest)) == ["a.json", "b.json"]


def test_a_file_that_is_there_is_not_written_over(terminal: Terminal, file: Path) -> None:
    out = terminal.write("out.json", b"mine")
    assert terminal("convert", file, out, "--to", "bitwarden_json", "--yes").code == 42
    assert out.read_bytes() == b"mine"


def test_a_link_at_the_destination_is_refused(terminal: Terminal, file: Path) -> None:
    target, out = terminal.write("target", b""), terminal.folder / "out.json"
    out.symlink_to(target)
    assert terminal("convert", file, out, "--to", "bitwarden_json").code == 43
    assert target.read_bytes() == b""


# --- export


def test_export_of_one_folder_and_one_item(terminal: Terminal, file: Path) -> None:
    assert terminal("migrate", file).code == 0
    out = terminal.folder / "out.json"
    done = terminal("export", out, "--to", "bitwarden_json", "--folder", "Home")
    assert done.code == 0
    assert {one["name"] for one in json.loads(out.read_bytes())["items"]} == {"Mail", "Router", "Alarm code"}
    assert "holds your secrets in clear" in done.err
    out.unlink()
    assert terminal("export", out, "--to", "bitwarden_json", "--item", "Mail").code == 0
    assert [one["name"] for one in json.loads(out.read_bytes())["items"]] == ["Mail"]


def test_what_was_imported_is_exported_as_it_came(terminal: Terminal, file: Path) -> None:
    assert terminal("migrate", file).code == 0
    out = terminal.folder / "out.json"
    assert terminal("export", out, "--to", "bitwarden_json").code == 0
    assert _normal(json.loads(out.read_bytes())) == _normal(household())


def test_a_folder_nobody_has_is_refused(terminal: Terminal, file: Path) -> None:
    assert terminal("migrate", file).code == 0
    assert terminal("export", terminal.folder / "o.json", "--to", "bitwarden_json", "--folder", "No").code == 35
