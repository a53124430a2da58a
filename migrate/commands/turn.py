"""convert and export: writing for another product."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrate.commands.shared import (
    LOSSES,
    PATH,
    check_report,
    counted,
    open_export,
    open_vault,
    read_password,
    reading_options,
    show_lines,
    show_values,
    write_report,
)
from vault.errors import CannotRead, KeyferryError, TargetExists, UsageError
from vault.screen import Session, command, numbered

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrate.adapter import Adapter
    from migrate.converting import Read
    from migrate.giving import Outgoing
    from vault.model import Item

    Seal = Callable[[bytes], bytes]


@command("convert", help="Turn one product's export into another's; no vault involved. - is standard input or output.")
@click.argument("source", type=PATH)
@click.argument("dest", type=PATH)
@reading_options
@click.option("--to", metavar="FMT", help="The format to write; from DEST's suffix where only one has it.")
@click.option("--out-password-file", type=PATH, metavar="P", help="Encrypt the result with this password.")
@click.option("--map", "maps", multiple=True, metavar="COLUMN=ROLE", help="What a column of an unknown table is.")
@click.option("--accept-losses", is_flag=True, help="Exit with 0 even if something was left out.")
@click.option("--report", type=PATH, metavar="FILE", help="Write a report as .json or .html.")
@click.option("--titles", is_flag=True, help="Let the report name the items.")
def convert(
    session: Session,
    source: Path,
    dest: Path,
    to: str | None,
    out_password_file: Path | None,
    maps: tuple[str, ...],
    accept_losses: bool,
    report: Path | None,
    titles: bool,
    **given: Any,
) -> int:
    """Read, prove, write, read again."""
    check_report(report, source, dest)
    seal = _sealing(to, dest, out_password_file, given.get("password_file"))
    if source.is_dir():
        return _folder(session, source, dest, to, accept_losses, given, seal)
    lost, made = _convert_one(session, source, dest, to, maps, given, seal, titles=titles)
    if report is not None:
        write_report(report, made)
    return LOSSES if lost and not accept_losses else 0


def _convert_one(
    session: Session,
    source: Path,
    dest: Path,
    to: str | None,
    maps: tuple[str, ...],
    given: dict[str, Any],
    seal: Seal,
    *,
    titles: bool = False,
) -> tuple[bool, dict[str, Any]]:
    from migrate import converting
    from migrate.commands.move import mapped

    target = _target(to, dest)
    opened = open_export(source, given, mapped(session, maps, None, given))
    with session.progress(f"reading {opened.name}") as bar:
        got = converting.read(opened, bar.advance)
    out = converting.outgoing_of(got, target, {"zip": dest.suffix.lower() == ".zip"})
    data = _written(out, target, got.items)
    _put(session, dest, seal(data))
    return _tell(session, got, out, target, dest, titles)


def _written(out: Outgoing, target: Adapter, items: list[Item]) -> bytes:
    """Return the result as bytes, read again and compared before anybody sees it."""
    from migrate import converting
    from migrate.written import check_written

    memory = io.BytesIO()
    converting.render(out, target, memory)
    data = memory.getvalue()
    check_written(data, target, items, out.losses)
    return data


def _target(to: str | None, dest: Path) -> Adapter:
    from migrate import catalog
    from migrate.converting import target_of

    if to is not None:
        return target_of(to)
    fitting = [a for a in catalog.adapters() if a.render and a.signature.suffix == dest.suffix.lower() != ""]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(a.name for a in fitting) or "keyferry formats lists them"
    raise UsageError("which format is to be written?", hint=f"add --to FMT ({names})")


def _put(session: Session, dest: Path, data: bytes) -> None:
    if str(dest) == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from vault.files import write_private

    is_there = dest.is_file() and dest.stat().st_size > 0
    if is_there and not session.confirm(f"{dest.name} exists; write over it?", default=False):
        raise TargetExists(f"{dest.name} exists already", hint="name another file, or move this one away")
    write_private(dest, data)


def _tell(
    session: Session, got: Read, out: Outgoing, target: Adapter, dest: Path, titles: bool
) -> tuple[bool, dict[str, Any]]:
    from collections import Counter

    from migrate.converting import summed
    from migrate.report import as_dict
    from vault.model import kind_of
    from vault.views import display_title

    ledger = got.source.ledger
    values = _values(ledger.values(), out)
    losses = summed(out.losses)
    summary = {
        "run": None,
        "format": got.source.format,
        "to": target.name,
        "items": {"new": len(got.items), "same": 0, "changed": 0, "conflict": 0, "quarantined": len(ledger.quarantine)},
        "values": values,
        "losses": [{"member": m, "items": i, "values": v} for m, i, v in losses],
    }
    named = [(place, display_title(got.items[at])) for place, at in got.places.items()] if titles else []
    if got.source.adapter is None:
        return False, summary
    made = as_dict(summary, ledger, got.source.adapter, named)
    if str(dest) == "-":
        return bool(out.losses or ledger.quarantine or ledger.dropped_lines), made
    kinds = Counter(kind_of(item) for item in got.items)
    session.say(f"{got.source.name} is an export of {got.source.adapter.product}: {counted(kinds) or 'no items'}")
    show_values(session, values)
    show_lines(session, ledger, got.source.adapter)
    rows = [(member, f"{items:,}", f"{n:,}") for member, items, n in losses]
    session.table((f"{target.product} cannot hold", "items", "values"), rows)
    session.out(summary)
    left = f"{numbered(sum(v for _, _, v in losses), 'value')} left out, listed above" if losses else "nothing left out"
    many = numbered(len(got.items) - len(out.left_out), "item")
    session.done(f"wrote {many} to {dest.name} as {target.name}, read again and compared; {left}")
    return bool(out.losses or ledger.quarantine or ledger.dropped_lines), made


def _values(values: dict[str, int], out: Outgoing) -> dict[str, int]:
    """Return the ledger's sums with what the target could not hold counted as dropped."""
    dropped = min(sum(loss.count for loss in out.losses), values["arrived"])
    return {**values, "arrived": values["arrived"] - dropped, "dropped": values["dropped"] + dropped}


def _folder(
    session: Session,
    source: Path,
    dest: Path,
    to: str | None,
    accept_losses: bool,
    given: dict[str, Any],
    seal: Seal,
) -> int:
    """Convert every file of a folder; one that fails is named and does not stop the others."""
    if to is None:
        raise UsageError("which format is to be written?", hint="add --to FMT")
    target = _target(to, dest)
    files = sorted(p for p in source.iterdir() if p.is_file())
    if not files:
        raise CannotRead(f"{source.name} holds no files", hint="name a folder with exports")
    dest.mkdir(mode=0o700, parents=True, exist_ok=True)
    failed: list[tuple[str, KeyferryError]] = []
    lost = False
    for path in files:
        try:
            made = dest / f"{path.stem}{target.signature.suffix}"
            one, _ = _convert_one(session, path, made, to, (), given, seal)
            lost = lost or one
        except KeyferryError as error:
            failed.append((path.name, error))
            session.warn(f"{path.name}: {error.message}")
    session.done(f"converted {len(files) - len(failed)} of {len(files)} files")
    if failed:
        return failed[0][1].exit_code
    return LOSSES if lost and not accept_losses else 0


@command("export", help="Write the vault, or part of it, for another product.")
@click.argument("dest", type=PATH)
@click.option("--to", required=True, metavar="FMT", help="The format to write.")
@click.option("--out-password-file", type=PATH, metavar="P", help="Encrypt the result with this password.")
@click.option("--folder", metavar="F", help="Only items in this folder (Home/Mail) and below.")
@click.option("--item", "chosen", multiple=True, metavar="ITEM", help="Only this item: id, prefix or exact title.")
@click.option("--accept-losses", is_flag=True, help="Exit with 0 even if something was left out.")
@click.option("--report", type=PATH, metavar="FILE", help="Write a report as .json or .html.")
def export(
    session: Session,
    dest: Path,
    to: str,
    out_password_file: Path | None,
    folder: str | None,
    chosen: tuple[str, ...],
    accept_losses: bool,
    report: Path | None,
) -> int:
    """Write items in a product's format, and read the result again."""
    from migrate import converting
    from migrate.giving import Outgoing

    check_report(report, dest)
    target = converting.target_of(to)
    seal = _sealing(to, dest, out_password_file)
    with open_vault(session, read_only=True) as store:
        collections = store.collections()
        items = [store.find(name) for name in chosen] if chosen else list(store.items())
        items = _inside(items, collections, folder) if folder else items
        out = Outgoing(
            format=target.name,
            collections=collections,
            items=items,
            extras=store.extras(),
            document=store.document,
            options={"zip": dest.suffix.lower() == ".zip"},
        )
        data = seal(_written(out, target, items))
    _put(session, dest, data)
    losses = converting.summed(out.losses)
    summary = {
        "format": target.name,
        "items": len(items),
        "losses": [{"member": m, "items": i, "values": v} for m, i, v in losses],
    }
    if report is not None:
        lines = [{"fate": "dropped", "what": m, "why": f"not in {to}", "values": v} for m, _, v in losses]
        write_report(report, {"product": target.product, **summary, "items": {"written": len(items)}, "lines": lines,
                              "warnings": []})  # fmt: skip
    if str(dest) != "-":
        rows = [(m, f"{i:,}", f"{v:,}") for m, i, v in losses]
        session.table((f"{target.product} cannot hold", "items", "values"), rows)
        session.out(summary)
        if out_password_file is None:
            session.warn(f"{dest.name} holds your secrets in clear; delete it when it has served")
        many = numbered(len(items) - len(out.left_out), "item")
        session.done(f"wrote {many} to {dest.name} as {target.name}, read again and compared")
    return LOSSES if losses and not accept_losses else 0


def _inside(items: list[Item], collections: Any, folder: str) -> list[Item]:
    from vault.errors import NoSuchItem
    from vault.model import paths_of

    wanted = tuple(part for part in folder.split("/") if part)
    inside = {one for one, path in paths_of(collections).items() if path[: len(wanted)] == wanted}
    if not inside:
        raise NoSuchItem("there is no such folder", hint="keyferry folders lists them")
    return [item for item in items if inside & set(item.collections)]


def _sealing(to: str | None, dest: Path, password_file: Path | None, other: Path | None = None) -> Seal:
    """Return what turns a written file into the one that is kept: itself, or the same encrypted and opened again.

    ``other`` is the password file of the source: both cannot be standard input.
    """
    if password_file is None:
        return lambda data: data
    if str(password_file) == str(other) == "-":
        raise UsageError("two passwords cannot both come from standard input", hint="put one of them in a file")
    from migrate import ciphers

    target = _target(to, dest)
    cipher = ciphers.sealing(target.name)
    if cipher is not None and dest.suffix.lower() == ".zip":
        raise UsageError(f"{cipher.product} encrypts no ZIP file", hint="name a .json; or encrypt the ZIP with age")
    if cipher is None:
        can = ", ".join(sorted({one.format for one in ciphers.CIPHERS}))
        raise UsageError(
            f"{target.name} cannot be written encrypted (these can: {can})",
            hint="write it plain and encrypt the file, for example with age",
        )
    password = read_password(password_file)
    if not password:
        raise UsageError("the password to encrypt with is empty", hint="write it on the file's first line")
    return lambda data: ciphers.seal(cipher, data, password)
