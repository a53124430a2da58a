"""What every command shows and asks: the session, its tables, its questions, and the options all commands share.

Rules: results go to standard output, everything else to standard error; a text that is shown is cleaned first;
what is asked can be answered by one line from a pipe; with ``--json`` only ``out`` and ``raw`` write to standard
output.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from vault.errors import UsageError
from vault.text import aligned, clean, clean_lines, is_numeric, json_text, numbered

__all__ = ["Progress", "Session", "clean", "clean_lines", "command", "numbered", "prepare_streams"]

_DRAWN_ROWS = 500  # rich needs a second for some thousand rows
_QUIET_SECONDS = 1.0
_REDRAW_SECONDS = 0.1


def prepare_streams() -> None:
    """Let standard output and error write any text: what their encoding lacks becomes a visible escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command: where its vault is, and how it speaks and asks."""

    home: Path
    json: bool = False
    yes: bool = False

    def say(self, text: str) -> None:
        """Write a line for people; nothing with ``--json``."""
        if not self.json:
            _write(sys.stdout, clean_lines(text) + "\n")

    def done(self, text: str) -> None:
        """Write the closing line that says what happened; nothing with ``--json``."""
        self.say(text)

    def told(self, name: str, text: str) -> None:
        """Write a line that another program or person waits for: ``name: text``, with ``--json`` as an object."""
        if self.json:
            _write(sys.stdout, json_text({name: text}, wide=_is_wide(sys.stdout)))
        else:
            _write(sys.stdout, f"{name}: {clean(text)}\n")

    def warn(self, text: str) -> None:
        """Write a warning to standard error; with ``--json`` as an object on one line."""
        if self.json:
            _write(sys.stderr, json_text({"warning": text}, wide=_is_wide(sys.stderr)))
        else:
            _write(sys.stderr, _painted("warning:", "yellow") + f" {clean_lines(text)}\n")

    def out(self, value: Any) -> None:
        """Write the value as JSON, only with ``--json``; texts, numbers, Structs, paths; a Secret is refused."""
        if self.json:
            _write(sys.stdout, json_text(value, indent=2, wide=_is_wide(sys.stdout)))

    def raw(self, text: str) -> None:
        """Write exactly this text and a newline, in UTF-8 whatever the locale; on a terminal it is cleaned."""
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None or _is_terminal(sys.stdout):
            _write(sys.stdout, clean_lines(text) + "\n")
            return
        sys.stdout.flush()
        buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
        buffer.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
        """Write rows under column heads: drawn on a terminal, aligned and uncut in a pipe; no rows, no table."""
        if self.json:
            return
        cells = [[clean(str(cell)) for cell in row] for row in rows]
        if not cells:
            return
        if _is_terminal(sys.stdout) and len(cells) <= _DRAWN_ROWS:
            _draw_table(columns, cells, clean(title))
        else:
            _write(sys.stdout, (clean(title) + "\n" if title else "") + aligned(columns, cells))

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        """Show on standard error how far a job is, if it is a terminal and the job takes over a second."""
        bar = Progress(clean(label), total, shown=not self.json and _is_terminal(sys.stderr))
        try:
            yield bar
        finally:
            bar.close()

    def confirm(self, question: str, default: bool = False) -> bool:
        """Ask yes or no; ``--yes``, an empty answer and the end of the input give the default."""
        if self.yes:
            return default
        while True:
            answer = _asked(f"{clean_lines(question)} [{'Y/n' if default else 'y/N'}] ")
            word = (answer or "").strip().lower()
            if not word:
                return default
            if word in ("y", "yes", "n", "no"):
                return word[0] == "y"
            if not _is_terminal(sys.stdin):
                raise UsageError("the answer to a yes-or-no question was neither", hint="send y or n on a line")

    def ask(self, prompt: str) -> str:
        """Read one visible line, without its line break; raises ``UsageError`` where the input has ended."""
        return _required(_asked(f"{clean(prompt)}: "), prompt)

    def secret(self, prompt: str) -> str:
        """Read one line, on a terminal hidden, from a pipe as it is; raises ``UsageError`` where there is none."""
        if not _is_terminal(sys.stdin):
            return _required(_line(), prompt)
        import getpass

        try:
            return getpass.getpass(f"{clean(prompt)}: ", stream=sys.stderr)
        except EOFError:
            return _required(None, prompt)


class Progress:
    """A bar that appears after a second; ``advance`` may be called for every record."""

    def __init__(self, label: str, total: int | None, *, shown: bool) -> None:
        self._label, self._total = label, total
        self._done, self._drawn_at = 0, 0.0
        self._bar: Any = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(_QUIET_SECONDS, self._appear) if shown else None
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def advance(self, n: int = 1) -> None:
        """Count n more steps of the total."""
        self._done += n
        if self._bar is not None and time.monotonic() - self._drawn_at > _REDRAW_SECONDS:
            self._drawn_at = time.monotonic()
            self._bar.update(0, completed=self._done)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._timer is None:
            return
        self._timer.cancel()
        with self._lock:
            self._timer = None
            if self._bar is not None:
                self._bar.stop()

    def _appear(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        with self._lock:
            if self._timer is None:
                return
            # Redirecting would send what is printed meanwhile to standard error.
            bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            bar.add_task(self._label, total=self._total, completed=self._done)
            bar.start()
            self._bar = bar


def command(
    name: str, *, parent: click.Group | None = None, **attrs: Any
) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a click command with ``--home``, ``--json`` and ``--yes``; the function gets a ``Session`` first.

    A number that the function returns is the exit code. ``parent`` is the group the command belongs to.
    """

    def decorate(function: Callable[..., int | None]) -> click.Command:
        @functools.wraps(function)
        def run(*, home: Path | None, as_json: bool, yes: bool, **given: Any) -> None:
            from vault.settings import default_home

            session = Session(home.expanduser().absolute() if home else default_home(), as_json, yes)
            code = function(session, **given)
            if code:
                click.get_current_context().exit(code)

        own: list[click.Parameter] = run.__dict__.pop("__click_params__", [])[::-1]
        about = {"help": function.__doc__, **attrs}
        made = click.Command(name, callback=run, params=[*own, *_shared_options()], **about)
        if parent is not None:
            parent.add_command(made)
        return made

    return decorate


def _shared_options() -> list[click.Parameter]:
    folder = click.Path(path_type=Path, file_okay=False)
    return [
        click.Option(
            ["--home"], type=folder, envvar="KEYFERRY_HOME", metavar="DIR", help="Folder of the vault [KEYFERRY_HOME]."
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Write JSON for machines."),
        click.Option(["--yes"], is_flag=True, help="Ask nothing; take the default."),
    ]


def _write(stream: IO[str] | None, text: str) -> None:
    if stream is not None:  # closed by the caller: keyferry ... >&-
        stream.write(text)
        stream.flush()


def _is_terminal(stream: IO[str] | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _is_wide(stream: IO[str] | None) -> bool:
    """Tell whether the stream can hold any text."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def _painted(text: str, colour: str) -> str:
    """Return the text coloured where standard error is a terminal and ``NO_COLOR`` is unset."""
    if not _is_terminal(sys.stderr) or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=colour)


def _asked(prompt: str) -> str | None:
    _write(sys.stderr, prompt)
    line = _line()
    if not _is_terminal(sys.stdin):
        _write(sys.stderr, "\n")  # a person's answer ends the line, one from a pipe is not seen
    return line


def _line() -> str | None:
    """Return the next line of standard input without its break, or None at its end.

    Read as bytes: a locale must not change an answer, and nothing may be read ahead of the next question.
    """
    if sys.stdin is None:
        return None
    source = getattr(sys.stdin, "buffer", sys.stdin)
    line = source.readline()
    if not line:
        return None
    if isinstance(line, bytes):
        try:
            line = line.decode("utf-8")
        except UnicodeDecodeError:
            raise UsageError("the line on standard input is not UTF-8") from None
    return str(line).removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")


def _required(line: str | None, prompt: str) -> str:
    if line is None:
        raise UsageError(
            f"standard input ended where an answer was needed: {clean(prompt)}", hint="send the answer as one line"
        )
    return line


def _draw_table(columns: Sequence[str], rows: list[list[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        box=box.SIMPLE,
        title=Text(title) if title else None,
        title_justify="left",
        header_style="bold",
        show_edge=False,
        pad_edge=False,
    )
    for i, column in enumerate(columns):
        drawn.add_column(
            Text(column),
            no_wrap=column.lower() in ("id", "run"),
            overflow="fold",
            justify="right" if is_numeric(rows, i) else "left",
        )
    for row in rows:
        drawn.add_row(*map(Text, row))
    Console(file=sys.stdout, highlight=False).print(drawn)
