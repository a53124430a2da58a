"""The types of LastPass' secure notes: their labels in order, and what CXF has for them (dossier: LastPass 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from vault import model
from vault.model import CONCEALED

Members = Mapping[str, tuple[type[Any], str, str]]  # label -> (credential, member, kind)


class NoteType(msgspec.Struct, frozen=True):
    """The labels of a type in LastPass' order, and which of them CXF has members for."""

    labels: tuple[str, ...]
    members: Members = {}
    dates: frozenset[str] = frozenset()  # labels of dates that no type of CXF has a member for

    @property
    def kinds(self) -> tuple[type[Any], ...]:
        """The credentials an item of this type consists of, in order."""
        return tuple(dict.fromkeys(kind for kind, _, _ in self.members.values()))

    def kind_of(self, label: str) -> str:
        """Return how a label's value is to be read: string, date, year-month, phone, street, ..."""
        if label in self.members:
            return self.members[label][2]
        return "date" if label in self.dates else "phone" if label.endswith(("Phone", "Fax")) else "string"


def _type(kind: type[Any], labels: str, dates: str = "", **members: str) -> NoteType:
    """Return a type whose members all belong to one credential, each as ``member="Label"`` or ``"Label|kind"``."""
    made = {}
    for name, text in members.items():
        label, _, how = text.partition("|")
        made[label] = (kind, name, how or "string")
    return NoteType(_labels(labels), made, frozenset(_labels(dates)))


def _labels(text: str) -> tuple[str, ...]:
    return tuple(label.strip() for label in text.split("|") if label.strip())


def _joined(*types: NoteType, labels: str) -> NoteType:
    members = {label: how for one in types for label, how in one.members.items()}
    return NoteType(_labels(labels), members, frozenset().union(*(one.dates for one in types)))


_LOGIN = {"username": "Username", "password": f"Password|{CONCEALED}"}

NOTE_TYPES: dict[str, NoteType] = {
    "Credit Card": _type(
        model.CreditCard,
        "Name on Card|Type|Number|Security Code|Start Date|Expiration Date",
        full_name="Name on Card",
        card_type="Type",
        number=f"Number|{CONCEALED}",
        verification_number=f"Security Code|{CONCEALED}",
        valid_from="Start Date|year-month",
        expiry_date="Expiration Date|year-month",
    ),
    "Address": _joined(
        _type(
            model.PersonName,
            "",
            "Birthday",
            title="Title",
            given="First Name",
            given2="Middle Name",
            surname="Last Name",
        ),
        _type(
            model.Address,
            "",
            street_address="Address 1|street",
            city="City / Town",
            territory="State",
            postal_code="Zip / Postal Code",
            country="Country",
            tel="Phone|phone",
        ),
        labels="Title|First Name|Middle Name|Last Name|Username|Gender|Birthday|Company|Address 1|Address 2|Address 3"
        "|City / Town|County|State|Zip / Postal Code|Country|Timezone|Email Address"
        "|Phone|Evening Phone|Mobile Phone|Fax",
    ),
    "Bank Account": NoteType(
        _labels(
            "Bank Name|Account Type|Routing Number|Account Number|SWIFT Code|IBAN Number|Pin"
            "|Branch Address|Branch Phone"
        )
    ),
    "Driver's License": _joined(
        _type(
            model.DriversLicense,
            "",
            license_number="Number",
            expiry_date="Expiration Date|date",
            license_class="License Class",
            full_name="Name",
            territory="State",
            country="Country",
            birth_date="Date of Birth|date",
        ),
        _type(model.Address, "", street_address="Address", city="City / Town", postal_code="ZIP / Postal Code"),
        labels="Number|Expiration Date|License Class|Name|Address|City / Town|State|ZIP / Postal Code|Country"
        "|Date of Birth|Sex|Height",
    ),
    "Passport": _type(
        model.Passport,
        "Type|Name|Country|Number|Sex|Nationality|Issuing Authority|Date of Birth|Issued Date|Expiration Date",
        passport_type="Type",
        full_name="Name",
        issuing_country="Country",
        passport_number="Number",
        sex="Sex",
        nationality="Nationality",
        issuing_authority="Issuing Authority",
        birth_date="Date of Birth|date",
        issue_date="Issued Date|date",
        expiry_date="Expiration Date|date",
    ),
    "Social Security": _type(
        model.IdentityDocument, "Name|Number", full_name="Name", identification_number=f"Number|{CONCEALED}"
    ),
    "Health Insurance": NoteType(
        _labels(
            "Company|Company Phone|Policy Type|Policy Number|Group ID|Member Name|Member ID|Physician Name"
            "|Physician Phone|Physician Address|Co-pay"
        )
    ),
    "Insurance": NoteType(
        _labels("Company|Policy Type|Policy Number|Expiration|Agent Name|Agent Phone|URL"),
        dates=frozenset({"Expiration"}),
    ),
    "Membership": NoteType(
        _labels("Organization|Membership Number|Member Name|Start Date|Expiration Date|Website|Telephone|Password"),
        dates=frozenset({"Start Date", "Expiration Date"}),
    ),
    "Wi-Fi Password": _type(
        model.Wifi,
        "SSID|Password|Connection Type|Connection Mode|Authentication|Encryption|Use 802.1X|FIPS Mode|Key Type"
        "|Protected|Key Index",
        ssid="SSID",
        passphrase=f"Password|{CONCEALED}",
    ),
    "Database": _type(model.BasicAuth, "Type|Hostname|Port|Database|Username|Password|SID|Alias", **_LOGIN),
    "Server": _type(model.BasicAuth, "Hostname|Username|Password", **_LOGIN),
    "Email Account": _type(model.BasicAuth, "Username|Password|Server|Port|Type|SMTP Server|SMTP Port", **_LOGIN),
    "Instant Messenger": _type(model.BasicAuth, "Type|Username|Password|Server|Port", **_LOGIN),
    "SSH Key": _type(
        model.SshKey,
        "Bit Strength|Format|Passphrase|Private Key|Public Key|Hostname|Date",
        "Date",
        passphrase="Passphrase|secret",
        private_key="Private Key|secret",
        public_key="Public Key|text",
    ),
    "Software License": NoteType(
        _labels(
            "License Key|Licensee|Version|Publisher|Support Email|Website|Price|Purchase Date|Order Number"
            "|Number of Licenses|Order Total"
        ),
        dates=frozenset({"Purchase Date"}),
    ),
}
NOTE_TYPES |= dict.fromkeys(("American Express", "Mastercard", "VISA"), NOTE_TYPES["Credit Card"])
_ANY = NoteType(())


def spec_of(own_type: str) -> NoteType:
    """Return what is known of a type; nothing for one of the user's own."""
    return NOTE_TYPES.get(own_type.strip(), _ANY)
