"""The writer of one 1Password item (dossier: 1Password 2.2).

Items of 1Password go back as they came. Of others, what a category's template has goes there; all else becomes a field
in a section, so that next to nothing is lost. Trash is written as ``state: "trashed"``: the product's own export leaves
its trash out, and a reader that does not know the word at least sees that the item is not an active one.
"""

from __future__ import annotations

from typing import Any

from migrate.formats import _onepassword as op
from migrate.formats import _onepassword_rules as rules
from migrate.formats._onepassword_files import document, wrapper
from migrate.formats._onepassword_sections import SectionWriter
from migrate.formats._onepassword_values import made_uuid, number_or_text, stamp
from migrate.formats._onepassword_writing import Writing
from migrate.giving import Offer
from vault import model
from vault.canonical import encode
from vault.model import CustomFields, Field, concealed, kind_of
from vault.views import display_title, extra_fields

_CODES = {name: code for code, name in rules.CATEGORIES.items()}
_OF_KIND = {
    "login": "001",
    "totp": "001",
    "card": "002",
    "note": "003",
    "custom": "003",
    "identity": "004",
    "password": "005",
    "document": "006",
    "drivers-license": "103",
    "passport": "106",
    "identity-document": "108",
    "wifi": "109",
    "api-key": "112",
    "ssh-key": "114",
}


def record_of(writing: Writing, tags: tuple[str, ...]) -> dict[str, Any]:
    """Return the item's JSON; what fits nowhere is among the losses."""
    item, offer = writing.item, Offer(writing.item)
    writing.code = _category(writing, offer)
    offer.skip("id", "provenance", "conflict", "collections", "credentials", "archived", "trashed", "extra", "tags")
    overview = _overview(writing, offer, tags)
    made: dict[str, Any] = {
        **_uuid(writing),
        "favIndex": int(offer.take("favorite")),
        "createdAt": stamp(offer.take("creation_at")),
        "updatedAt": stamp(offer.take("modified_at") if writing.own else item.modified_at or item.creation_at),
        "state": "archived" if item.archived else "trashed" if item.trashed else "active",
        **({"trashed": True} if item.trashed else {}),
        **({"categoryUuid": writing.code} if writing.code else {}),
    }
    offer.skip("modified_at")
    made["details"] = _details(writing, offer)
    made["overview"] = overview
    return _with_unknown(writing, made) if writing.own else made


def _uuid(writing: Writing) -> dict[str, str]:
    source = writing.item.provenance
    found = source.source_id if writing.own and source is not None else made_uuid(writing.item.id)
    return {"uuid": found} if found else {}


def _category(writing: Writing, offer: Offer) -> str:
    """Return the code of the category; "" where the item's own is not known to us."""
    item = writing.item
    named, usual = _CODES.get(item.template or "", ""), _OF_KIND.get(kind_of(item), "003")
    fits = usual in ("003", named) or any(type(one) is op.BARE.get(named) for one in item.credentials)
    if writing.own or (named and fits):
        offer.skip("template")
        return named
    return usual


# -- overview


def _overview(writing: Writing, offer: Offer, tags: tuple[str, ...]) -> dict[str, Any]:
    urls = [_url(writing, one) for one in offer.take("urls")]
    urls += [_app(writing, one) for one in offer.take("android_apps")]
    title = offer.take("title")
    return {
        "subtitle": offer.take("subtitle") or "",
        "title": title if title or writing.own else display_title(writing.item),
        "url": urls[0]["url"] if urls else "",
        "urls": urls,
        "tags": list(tags),
    }


def _url(writing: Writing, url: model.Url) -> dict[str, Any]:
    offer = Offer(url)
    made = {"label": offer.take("label") or "", "url": offer.take("url"), "mode": "default"}
    if url.match == "never":
        made["mode"] = offer.take("match")
    offer.skip("extra")
    writing.merge(made, writing.unknown(url.extra))
    writing.leave(offer, f"{url.url}:")
    return made


def _app(writing: Writing, app: model.AndroidApp) -> dict[str, Any]:
    offer = Offer(app)
    made = {"label": offer.take("name") or "", "url": f"androidapp://{offer.take('bundle_id')}", "mode": "default"}
    offer.skip("extra")
    writing.out.settle(writing.item, "app", offer)
    return made


# -- details


def _details(writing: Writing, offer: Offer) -> dict[str, Any]:
    form = next((one for one, _ in writing.parts if _is_form(writing, one)), None)
    login, password = _login(writing, form), _password(writing)
    itself, names = document(writing)
    writer = SectionWriter(writing, itself)
    writer.collect()
    history = [_past(writing, one) for one in offer.take("history")]
    found = []
    for one, left in writing.parts:
        if isinstance(one, CustomFields):
            left.skip("id", "label", "fields")
            found += [one] if one is not form else []
    _leave(writing, offer)
    return {
        "loginFields": login,
        "notesPlain": _notes(writing),
        "sections": writer.sections(found),
        "passwordHistory": [one for one in history if one is not None],
        **({"documentAttributes": names} if names else {}),
        **({} if password is None else {"password": password}),
    }


def _is_form(writing: Writing, one: Any) -> bool:
    return writing.own and isinstance(one, CustomFields) and one.id == op.WEB_FORM


def _login(writing: Writing, form: CustomFields | None) -> list[dict[str, Any]]:
    """Return the web form's fields: user name and password where they stood, and the others."""
    made = [_login_field(writing, one, None) for one in form.fields] if form is not None else []
    found = None if op.logs_in_by_section(writing.code) else writing.first(model.BasicAuth)
    if found is None:
        return made
    auth, offer = found
    offer.skip("username")
    roles = [("username", auth.username)] if auth.username is not None else []
    if auth.password is not None and auth.password.original != op.OF_DETAILS:
        offer.skip("password")
        roles.append(("password", auth.password))
    placed = [(_login_place(writing, one, n), role, one) for n, (role, one) in enumerate(roles)]
    for place, role, one in sorted(placed, key=lambda found: found[0]):
        made.insert(place, _login_field(writing, one, role))
    return made


def _login_place(writing: Writing, one: Field, usual: int) -> int:
    place = writing.details(one.extra).get("place")
    return place if type(place) is int and place >= 0 else usual


def _login_field(writing: Writing, one: Field, role: str | None) -> dict[str, Any]:
    details, unknown = writing.details(one.extra), writing.unknown(one.extra)
    designation = role or details.get("designation")
    name = one.label or (designation if role or details.get("named") else "")
    usual = "P" if one.is_concealed else "E" if one.field_type == "email" else "T"
    made = {
        "value": {"email_address": one.text} if details.get("object") else number_or_text(one.text, details),
        "id": (one.id or "") if writing.own else "",
        "name": "" if "name" in unknown else name or "",
        "fieldType": one.original if writing.own and one.original in op.FIELD_TYPES else usual,
        **({"designation": designation} if designation else {}),
    }
    writing.merge(made, unknown)
    return made


def _password(writing: Writing) -> str | None:
    """Return the password that stands beside the login fields."""
    auth = writing.first(model.BasicAuth)
    if auth is not None and auth[0].password is not None and auth[0].password.original == op.OF_DETAILS:
        return auth[1].text("password")
    found = writing.first(model.GeneratedPassword)
    return None if found is None else found[1].text("password")


def _notes(writing: Writing) -> str:
    """Return every note; several are joined by an empty line."""
    return "\n\n".join(one.content.reveal() for one, _ in writing.parts if isinstance(one, model.Note))


def _past(writing: Writing, past: model.Past) -> dict[str, Any] | None:
    """Return a former password; a former value of something else becomes a field."""
    if past.field != "password":
        when = f" ({past.at})" if past.at else ""
        writing.more.append(concealed(past.value.reveal(), label=f"former {past.field}{when}"))
        return None
    made = {"value": past.value.reveal(), "time": stamp(past.at)}
    writing.merge(made, writing.unknown(past.extra))
    return made


def _leave(writing: Writing, offer: Offer) -> None:
    """Turn into fields what the product has no place for, and what no other format understood."""
    writing.leave(offer)
    if not writing.own:
        writing.more.extend(extra_fields(writing.item))
    for one, left in writing.parts:
        if isinstance(one, model.Note):
            left.skip("content")
        elif isinstance(one, model.UnknownCredential):
            left.skip("raw")
            writing.more.append(concealed(encode(one.raw).decode(), label="credential of an unknown type"))
        elif isinstance(one, model.File) and writing.details(one.extra).get("wrapper"):
            left.left.clear()
        writing.leave(left, str(type(one).__struct_config__.tag).replace("-", " "))


# -- what was not understood


def _with_unknown(writing: Writing, made: dict[str, Any]) -> dict[str, Any]:
    """Return the record with everything back that nobody understood, wrapped if it was."""
    item = writing.item
    details, outer = op.kept(item.extra), dict(op.raw(item.extra))
    inner = dict(outer.pop("item", {})) if details.get("wrapped") else outer
    made["overview"] |= op.as_ratings(details)
    if item.favorite and "favIndex" in details:
        made["favIndex"] = details["favIndex"]
    if item.archived and inner.pop("state", None) is not None:
        writing.out.lose(item, "a state that was not understood, and was replaced")
    index = inner.get("favIndex")
    if type(index) is int:
        made["favIndex"] = index if (index > 0) == item.favorite else made["favIndex"]
        del inner["favIndex"]
    if isinstance(overview := inner.get("overview"), dict):
        inner["overview"] = _with_addresses(writing, made["overview"], overview)
    writing.merge(made, inner)
    if not details.get("wrapped"):
        return made
    around = {"item": made, **wrapper(writing)}
    writing.merge(around, outer)
    return around


def _with_addresses(writing: Writing, made: dict[str, Any], overview: dict[str, Any]) -> dict[str, Any]:
    """Put back which address comes first, and a list of them that nobody understood; return what else is left."""
    if "urls" in overview:
        for _ in made["urls"][1:]:
            writing.out.lose(writing.item, "an address beside a list that was not understood")
        made["urls"] = []
    url = overview.get("url")
    if not isinstance(url, str):
        made["url"] = "" if "url" in overview else made["url"]
        return overview
    if url in [one.url for one in writing.item.urls]:
        made["url"] = url
    return {key: value for key, value in overview.items() if key != "url"}
