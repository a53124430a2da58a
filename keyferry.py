"""The front door: finds the command that was typed, runs it, and turns every ending into one sentence and an exit code.

Nothing is imported before it is needed: a command's module is loaded when that command runs, its help line stands here.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from types import TracebackType
from typing import Any, NoReturn

import click

from vault.errors import CannotWrite, Defect, DiskFull, KeyferryError
from vault.screen import clean, clean_lines, prepare_streams

__version__ = "0.1.0"

_GARBAGE = 100_000  # a command is short: looking for cycles every 700 objects costs more than it frees

INTERRUPTED = 130
READER_GONE = 141  # as a program that SIGPIPE ended

_MOVES, _ITEMS, _CHANGES = "migrate.commands", "vault.commands.items", "vault.commands.changes"
_KEYS, _STATE, _COPIES = "vault.commands.keys", "vault.commands.state", "backup.commands"

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Move": {
        "migrate": (f"{_MOVES}.move:migrate", "Bring an export into the vault and account for every value."),
        "convert": (f"{_MOVES}.turn:convert", "Turn one product's export into another's, no vault involved."),
        "inspect": (f"{_MOVES}.look:inspect", "Say what an export is and what it can never hold; no values."),
        "verify": (f"{_MOVES}.look:verify", "Prove again that everything in an export is in the vault."),
        "undo": (f"{_MOVES}.back:undo", "Take an import back; later edits stay."),
        "runs": (f"{_MOVES}.back:runs", "List the imports so far."),
        "export": (f"{_MOVES}.turn:export", "Write the vault, or part of it, for another product."),
        "formats": (f"{_MOVES}.look:formats", "List what can be read and written, and how to export it."),
    },
    "Look": {
        "list": (f"{_ITEMS}:list_", "List items, by folder, tag, kind or state."),
        "show": (f"{_ITEMS}:show", "Show one item, its secrets masked unless asked for."),
        "search": (f"{_ITEMS}:search", "Find items by words; never looks into secrets."),
        "otp": (f"{_ITEMS}:otp", "Show an item's one-time code."),
    },
    "Change": {
        "add": (f"{_CHANGES}:add", "Make a new item."),
        "edit": (f"{_CHANGES}:edit", "Change an item; the old values stay in its history."),
        "rm": (f"{_CHANGES}:rm", "Put an item into the trash, or purge it."),
        "restore-item": (f"{_CHANGES}:restore_item", "Take an item out of the trash."),
        "generate": (f"{_CHANGES}:generate", "Make a password."),
        "folders": (f"{_ITEMS}:folders", "List the folders."),
    },
    "Share between devices": {
        "sync": ("vault.commands.sync:sync", "Bring the devices of this vault together, by relay or folder."),
        "device": ("vault.commands.devices:device", "Pair, list and revoke devices."),
    },
    "Keep safe": {
        "init": (f"{_KEYS}:init", "Make a new vault."),
        "backup": (f"{_COPIES}.places:backup", "Make, list, check and prune sealed copies of the vault."),
        "agent": (f"{_COPIES}.agent:agent", "Make backups by themselves, in the background."),
        "restore": (f"{_COPIES}.restore:restore", "Bring a backup back, onto a new device or into this vault."),
        "kit": (f"{_KEYS}:kit", "Save, print, check or renew the recovery kit."),
        "unlock": (f"{_KEYS}:unlock", "Put the vault's key back with the recovery kit."),
        "key": (f"{_KEYS}:key", "Move the vault's key elsewhere, or make a new one."),
        "destroy": (f"{_KEYS}:destroy", "Delete the vault and its key."),
        "status": (f"{_STATE}:status", "Say how vault, key, kit and copies are."),
        "doctor": (f"{_STATE}:doctor", "Look for what is wrong with the vault."),
    },
    "Between devices": {
        "relay": ("vault.commands.relay:relay", "Run a relay for devices; it reads nothing of theirs."),
    },
}
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class FrontDoor(click.Group):
    """The command tree by names: listing loads no command, running loads one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or say which one may have been meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {clean(args[0])}{_meant(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections of the help page."""
        width = max(map(len, COMMANDS))
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in entries.items()])


def _meant(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word, COMMANDS, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


@click.group(
    cls=FrontDoor,
    name="keyferry",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Every command has --help, --json and --home DIR. Exit codes: 0 done, 2 usage, 3 something was left out; "
    "the others are in docs/exit-codes.md.",
)
@click.version_option(__version__, message="keyferry %(version)s")
@click.pass_context
def door(ctx: click.Context) -> None:
    """Moves your passwords between password managers and loses none of them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> NoReturn:
    """Run what was typed and leave with its exit code."""
    _be_quiet()
    gc.set_threshold(_GARBAGE)
    code = run(sys.argv[1:])
    gc.freeze()  # what is left is not looked through once more on the way out
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; what goes wrong is told on standard error, nothing is raised."""
    prepare_streams()
    try:
        code = _invoke(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:  # the last place where an ending becomes a sentence
        return _told(error, as_json=_wants_json(arguments))
    return code


def _invoke(arguments: list[str]) -> int:
    if "_KEYFERRY_COMPLETE" in os.environ:
        door.main(arguments, "keyferry")
    try:
        with door.make_context("keyferry", _shared_last(arguments)) as context:
            door.invoke(context)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    return 0


def _shared_last(arguments: list[str]) -> list[str]:
    """Return the arguments with ``--home``, ``--json`` and ``--yes`` moved from before the command to its end."""
    rest, shared = list(arguments), []
    while rest and (rest[0] in ("--json", "--yes", "--home") or rest[0].startswith("--home=")):
        count = 2 if rest[0] == "--home" else 1
        shared += rest[:count]
        del rest[:count]
    if not rest or rest[0].startswith("-"):
        return list(arguments)
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *shared, *rest[end:]]


def _wants_json(arguments: list[str]) -> bool:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _told(error: BaseException, *, as_json: bool) -> int:
    """Say what ended the command and return its exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if isinstance(error, BrokenPipeError):
        _drop_stdout()
        return READER_GONE
    name, message, hint, code = _sentence(error)
    try:
        _print_error(name, message, hint, code, as_json)
        if code == Defect.exit_code and os.environ.get("KEYFERRY_DEBUG") == "1":
            _print_places(error)
    except OSError:
        _drop_stdout()  # nobody listens on standard error either; the exit code still tells
    return code


def _sentence(error: BaseException) -> tuple[str, str, str, int]:
    """Return kind, message, hint and exit code; never a value that the error carries."""
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        place = context.command_path if context is not None else "keyferry"
        return "UsageError", _lowered(error.format_message()), f"{place} --help", 2
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "Interrupted", "interrupted", "", INTERRUPTED
    if isinstance(error, MemoryError):
        return "OutOfMemory", "there is not enough memory for this", "close other programs and try again", 59
    ours = _of_the_system(error) if isinstance(error, OSError) else error
    if not isinstance(ours, KeyferryError):
        ours = _defect(error)
    return type(ours).__name__, ours.message, ours.hint, ours.exit_code


def _lowered(message: str) -> str:
    return (message[:1].lower() + message[1:]).removesuffix(".")


def _of_the_system(error: OSError) -> KeyferryError | None:
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"the disk is full{where}", hint="make room and run the same command again")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return CannotWrite(f"{os.strerror(error.errno).lower()}{where}", hint="check the rights of this place")
    return None


def _defect(error: BaseException) -> Defect:
    places = _places(error.__traceback__)
    where = next((place for place in reversed(places) if not place.startswith("(")), "an unknown place")
    return Defect(
        f"a defect in Keyferry: {type(error).__name__} at {where}",
        hint="please report this line; KEYFERRY_DEBUG=1 shows the way there, without any value",
    )


def _places(trace: TracebackType | None) -> list[str]:
    """Return ``file:line function`` from the outermost call on; other people's files in brackets."""
    places: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        ours = _within(code.co_filename)
        places.append(f"{ours}:{trace.tb_lineno}" if ours else f"({code.co_filename}:{trace.tb_lineno} {code.co_name})")
        if ours:
            places[-1] += f" {code.co_name}"
        trace = trace.tb_next
    return places


def _within(filename: str) -> str:
    """Return the path inside the house, or nothing for a file that is not ours."""
    inside = os.path.relpath(filename, os.path.dirname(os.path.abspath(__file__)))
    return inside if inside.split(os.sep)[0] in ("keyferry.py", "vault", "migrate", "backup") else ""


def _print_error(name: str, message: str, hint: str, code: int, as_json: bool) -> None:
    if sys.stderr is None:
        return
    if as_json:
        import json

        shape = {"error": name, "message": message, "hint": hint, "exit_code": code}
        sys.stderr.write(json.dumps(shape) + "\n")
    else:
        sys.stderr.write(f"error: {clean(message)}\n" + (f"hint: {clean_lines(hint)}\n" if hint else ""))
    sys.stderr.flush()


def _print_places(error: BaseException) -> None:
    seen: BaseException | None = error
    while seen is not None:
        sys.stderr.write(f"{type(seen).__name__}\n" + "".join(f"  {clean(p)}\n" for p in _places(seen.__traceback__)))
        seen = seen.__cause__ or seen.__context__


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, so that leaving says nothing either."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                os.dup2(nowhere, stream.fileno())
    except (OSError, ValueError):
        return


def _be_quiet() -> None:
    """Keep Python's own reports off the screen: they quote lines and values."""
    if os.environ.get("KEYFERRY_DEBUG") == "1":
        return
    import threading
    import warnings

    if not sys.warnoptions:
        warnings.simplefilter("ignore")

    def ignore(_: Any) -> None:
        return

    sys.unraisablehook = ignore
    threading.excepthook = ignore


if __name__ == "__main__":
    main()
