"""Which entries nobody needs any more: a snapshot that all members have seen stands for them.

The relay finds that in the headers (``vault.sync.settling``); it cannot read a snapshot, and need not: a device that
finds one wrong says so to its person, keeps its own log and writes another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vault import membership
from vault.sync import entry, settling
from vault.sync.entry import Header


def droppable(chain: Sequence[bytes], around: Iterable[bytes], newest: Iterable[bytes]) -> dict[bytes, int]:
    """Return before which number the entries of each device can go; none where no snapshot has settled.

    ``chain`` holds; ``around`` are the vault's ``snap`` entries and those right behind them, by device and number;
    ``newest`` is the newest entry of each device.
    """
    headers: dict[str, list[Header]] = {}
    for body in around:
        header = entry.read_header(body)
        headers.setdefault(header.device, []).append(header)
    last = {header.device: [header] for header in map(entry.read_header, newest)}
    devices = settling.devices_of(chain, membership.read_chain(chain))
    fitting = [
        one
        for ones in headers.values()
        for one in settling.snapshots(ones)
        if one.device in devices.since
        and not settling.conflicts(one, devices)
        and settling.is_settled(one, devices, last)
        and all(device in last and last[device][0].seq >= head.seq for device, head in one.cut.items())
    ]
    if not fitting:
        return {}
    cut = max(fitting, key=lambda one: one.hlc).cut
    return {bytes.fromhex(device): head.seq for device, head in cut.items()}
