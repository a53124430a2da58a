"""What commands show and ask, through pipes and on a terminal of our own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from vault.errors import UsageError
from vault.screen import Session, command
from vault.secret import Secret

ROOT = Path(__file__).resolve().parents[2]


def session(**given: bool) -> Session:
    return Session(Path("/nowhere"), **given)


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


# --- say, warn, out, raw


def test_results_and_warnings_go_to_their_own_streams(capsys: pytest.CaptureFixture[str]) -> None:
    session().say("three items")
    session().warn("the kit is not checked")
    session().done("done")
    assert capsys.readouterr() == ("three items\ndone\n", "warning: the kit is not checked\n")


def test_with_json_only_the_object_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    machine = session(json=True)
    machine.say("text")
    machine.done("text")
    machine.table(["id"], [["x"]])
    machine.warn("careful")
    machine.out({"items": 3})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"items": 3}
    assert json.loads(err) == {"warning": "careful"}


def test_without_json_no_object_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    session().out({"items": 3})
    assert capsys.readouterr().out == ""


def test_json_holds_paths_and_exact_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    session(json=True).out({"home": Path("/a/b"), "n": Decimal("2.50")})
    assert '"n": 2.50' in (out := capsys.readouterr().out)
    assert json.loads(out)["home"] == "/a/b"


def test_a_secret_does_not_slip_into_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError) as refusal:
        session(json=True).out({"password": Secret("hunter2")})
    assert "hunter2" not in str(refusal.value)
    assert capsys.readouterr().out == ""


def test_json_for_an_ascii_terminal_is_still_json(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    session(json=True).out({"title": "Müller 😀"})
    assert json.loads(written.getvalue()) == {"title": "Müller 😀"}


def test_a_raw_value_is_exact_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    session().raw("pässword\x1b\\n")
    assert written.getvalue() == "pässword\x1b\\n\n".encode()


def test_a_raw_value_cannot_steer_a_terminal() -> None:
    assert on_a_terminal(r"session.raw('a\x1b[2Jb\nc')") == "a\\x1b[2Jb\r\nc\r\n"


# --- tables


def test_a_piped_table_is_aligned_uncut_and_without_colour(capsys: pytest.CaptureFixture[str]) -> None:
    session().table(["id", "title", "n"], [["a1", "日本", "5"], ["b22", "x" * 200, "12"]], title="Items")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Items"
    assert lines[1] == "id   title" + " " * 197 + " n"
    assert lines[2] == "a1   日本" + " " * 199 + "5"
    assert lines[3] == "b22  " + "x" * 200 + "  12"


def test_cells_are_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    session().table(["title"], [["two\nlines\x1b[2J"]])
    assert capsys.readouterr().out == "title\ntwo\\nlines\\x1b[2J\n"


def test_no_rows_make_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    session().table(["title"], [])
    assert capsys.readouterr().out == ""


# --- questions through a pipe


@pytest.mark.parametrize(
    ("line", "default", "answer"),
    [(b"y\n", False, True), (b"YES\n", False, True), (b"n\n", True, False), (b"no\r\n", True, False)]
    + [(ending, default, default) for ending in (b"", b"\n") for default in (True, False)],
)
def test_a_line_from_a_pipe_answers(monkeypatch: pytest.MonkeyPatch, line: bytes, default: bool, answer: bool) -> None:
    typed(monkeypatch, line)
    assert session().confirm("Delete it?", default) is answer


@pytest.mark.parametrize("default", [True, False])
def test_yes_takes_the_default_and_reads_nothing(monkeypatch: pytest.MonkeyPatch, default: bool) -> None:
    typed(monkeypatch, b"left\n")
    assert session(yes=True).confirm("Delete it?", default) is default
    assert session().ask("next") == "left"


def test_an_answer_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b"maybe\n")
    with pytest.raises(UsageError):
        session().confirm("Delete it?")


def test_questions_stay_off_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, b"y\nAnn\n")
    session().confirm("Delete it?")
    session().ask("Name")
    assert capsys.readouterr() == ("", "Delete it? [y/N] \nName: \n")


def test_answers_are_read_one_line_each_and_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "y\n  pä ss  \r\nlast".encode())
    assert session().confirm("Sure?") is True
    assert session().secret("Password") == "  pä ss  "
    assert session().secret("Password") == "last"
    with pytest.raises(UsageError):
        session().secret("Password")


def test_a_line_that_is_no_utf8_is_refused_without_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, b"hunter2\xff\n")
    with pytest.raises(UsageError) as refusal:
        session().secret("Password")
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_no_standard_input_at_all_counts_as_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert session().confirm("Sure?", True) is True
    with pytest.raises(UsageError):
        session().secret("Password")


# --- the options of every command


@click.group()
def kit() -> None:
    """A group."""


@command("save", parent=kit)
@click.argument("place")
@click.option("--copies", type=int, default=1)
def save(session: Session, place: str, copies: int) -> int:
    """Save the kit."""
    session.out([str(session.home), session.yes, place, copies])
    return copies


def test_a_command_gets_its_session_and_its_number_is_the_exit_code() -> None:
    result = CliRunner().invoke(kit, ["save", "a", "--copies", "3", "--home", "/h", "--json", "--yes"])
    assert (result.exit_code, json.loads(result.stdout)) == (3, ["/h", True, "a", 3])


def test_the_home_comes_from_option_environment_and_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    def home(*options: str) -> Path:
        return Path(json.loads(CliRunner().invoke(save, ["a", "--json", *options]).stdout)[0])

    monkeypatch.setenv("KEYFERRY_HOME", "/from/environment")
    assert home() == Path("/from/environment")
    assert home("--home", "relative") == Path.cwd() / "relative"
    assert home("--home", "~/h") == Path.home() / "h"
    monkeypatch.setenv("KEYFERRY_HOME", "")
    assert home().is_absolute()
    assert home().name == "keyferry"


def test_a_home_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert CliRunner().invoke(save, ["a", "--home", str(tmp_path / "file")]).exit_code == 2


def test_the_shared_options_stand_last_in_the_help() -> None:
    text = CliRunner().invoke(save, ["--help"]).stdout
    assert "Save the kit." in text
    assert text.index("--copies") < text.index("--home") < text.index("--json") < text.index("--yes")


# --- on a terminal

SCRIPT = """
import sys, time
from pathlib import Path
from vault.screen import Session
session = Session(Path("/nowhere"))
"""


def on_a_terminal(code: str, keys: bytes = b"", **environment: str) -> str:
    """Run the code with a terminal on all three streams and return all that appeared there."""
    if sys.platform == "win32":
        pytest.skip("needs a POSIX terminal")
    import pty

    controller, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + code],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=ROOT,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "60", **environment},
    )
    os.close(terminal)
    shown = bytearray()
    waits = keys.splitlines(keepends=True)
    while chunk := _chunk(controller):
        shown += chunk
        if waits and shown.rstrip().endswith((b":", b"]")):
            os.write(controller, waits.pop(0))
    os.close(controller)
    assert child.wait() == 0, shown
    return shown.decode()


def _chunk(controller: int) -> bytes:
    try:
        return os.read(controller, 65536)
    except OSError:  # Linux says EIO when the last writer is gone
        return b""


def test_a_drawn_table_keeps_ids_whole_and_loses_no_text() -> None:
    row = ["3f2a9c1e-8b7d-4e21", "A rather long title that has to be folded somewhere in here", "login"]
    shown = on_a_terminal(f"session.table(['id', 'title', 'kind'], [{row!r}])", NO_COLOR="1")
    assert row[0] in shown
    assert all(word in shown for word in row[1].split())
    assert "─" in shown


def test_a_drawn_table_reads_no_markup_and_no_links() -> None:
    shown = on_a_terminal("session.table(['title'], [['[red]x[/red] [link=http://a]y[/link] :smile:']])", COLUMNS="120")
    assert "[red]x[/red] [link=http://a]y[/link] :smile:" in shown


def test_no_color_is_obeyed() -> None:
    code = "session.warn('careful'); session.table(['title'], [['x']])"
    assert "\x1b[3" in on_a_terminal(code)
    assert "\x1b[3" not in on_a_terminal(code, NO_COLOR="1")


def test_a_hidden_answer_does_not_appear() -> None:
    shown = on_a_terminal("assert session.secret('Password') == 'hunter2'; session.done('opened')", b"hunter2\n")
    assert "hunter2" not in shown
    assert "opened" in shown


def test_a_wrong_answer_is_asked_again() -> None:
    shown = on_a_terminal("print(session.confirm('Sure?'))", b"maybe\ny\n")
    assert shown.count("Sure? [y/N]") == 2
    assert "True" in shown


def test_a_short_job_draws_no_bar() -> None:
    shown = on_a_terminal("with session.progress('reading', 3) as bar: bar.advance(3)")
    assert shown == ""


def test_a_long_job_draws_a_bar_and_takes_it_off() -> None:
    code = (
        "import vault.screen as s; s._QUIET_SECONDS = 0.05; s._REDRAW_SECONDS = 0\n"
        "with session.progress('reading', 100) as bar:\n"
        "    for _ in range(100): bar.advance(); time.sleep(0.02)\n"
    )
    shown = on_a_terminal(code)
    assert "reading" in shown
    assert "%" in shown


def test_a_bar_stays_out_of_pipes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.screen._QUIET_SECONDS", 0.0)
    with session().progress("reading", 2) as bar:
        time.sleep(0.05)
        bar.advance()
    assert capsys.readouterr() == ("", "")
