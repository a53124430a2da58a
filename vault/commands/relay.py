"""relay: serve."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from vault.errors import UsageError
from vault.screen import Session, command


@click.group("relay", help="Run a relay: it keeps what devices send each other, and can read none of it.")
def relay() -> None:
    """Hold the commands about the relay."""


@command("serve", parent=relay, help="Serve devices until interrupted.")
@click.option(
    "--listen", "address", default="127.0.0.1:8443", metavar="H:P", show_default=True, help="Where to listen."
)
@click.option("--db", metavar="PATH|URL", help="A file [relay/relay.db in the home], or postgresql://...")
@click.option(
    "--tls",
    "how",
    default="self-signed",
    metavar="self-signed|CERT,KEY|off",
    show_default=True,
    help="The certificate; off only on this machine, behind a proxy.",
)
@click.option(
    "--invite", default="", envvar="KEYFERRY_INVITE", metavar="TOKEN", help="New vaults must bring this word."
)
def serve(session: Session, address: str, db: str | None, how: str, invite: str) -> None:
    """Serve devices."""
    try:
        from vault.relay import serving
    except ImportError:
        raise UsageError("the relay needs further packages", hint="pip install 'keyferry[relay]'") from None
    folder = session.home / "relay"
    place = serving.listen(address, how, folder, datetime.now(UTC))
    made = serving.open_relay(db or str(folder / "relay.db"), invite=invite)

    def started() -> None:
        session.say(f"listening on {place.url}")
        if place.pin:
            session.say(f"pin: {place.pin}")
        session.out({"url": place.url, "pin": place.pin})

    serving.serve(made, place, started)
    session.done("stopped")
