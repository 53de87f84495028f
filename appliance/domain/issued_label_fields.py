"""What a label of a batch says: the template's fields, and what its scan must show."""

from __future__ import annotations

from datetime import datetime

from appliance.domain import events as ev
from appliance.domain import isbt128
from appliance.domain.issued_labels import SECOND_PRINT, Issued, issued, of_batch, serial_code, serial_text
from appliance.domain.label_fields import final_product_fields
from appliance.domain.label_templates import FINAL, TEMPLATE_TEXT, version_and_hash
from appliance.domain.phase_logic import Context
from appliance.domain.quantity import plain


def next_label(c: Context) -> str:
    """The id of the label that is issued next."""
    return f"{c.batch.id}-L{len(of_batch(c.batch)) + 1}"


def requested(c: Context, copy: int, expires_at: datetime) -> ev.LabelRequested:
    """The next label of the product itself."""
    settings, order = c.batch.recipe.settings, c.batch.order
    collection_type = settings.get("collection_type", "0")
    identity = {
        "din": order.din,
        "description_code": settings.get("description_code", ""),
        "division": settings.get("division", "00"),
    }
    told = identity | {"expires_at": expires_at.isoformat(), "collection_type": collection_type}
    fields = final_product_fields(
        order,
        settings,
        expires_at=expires_at,
        time_zone=c.batch.opened.time_zone,
        product=settings.get("product", c.batch.recipe.title),
        volume_ml=plain(c.phase.amount("volume", "mL")),
        lot=f"{c.batch.id}, label {next_label(c).rpartition('-')[2]}",
        site=c.batch.opened.site,
    )
    return issue(c, copy, template=c.phase.text.get(TEMPLATE_TEXT, FINAL), fields=fields, identity=told)


def issue(
    c: Context,
    copy: int,
    *,
    template: str,
    fields: dict[str, str],
    identity: dict[str, str],
    flags: str | None = None,
) -> ev.LabelRequested:
    """Issue a label with its serial; a second or repeated print says so by its flag (ISBT 128, 05).

    Parameters
    ----------
    flags
        Of the donation number, where they say what the label is on and so stay in every print.
    """
    label_id = next_label(c)
    earlier = [one for one in issued(c.run) if one.request.copy == copy]
    came_out = [one for one in earlier if one.printed is not None]
    before = came_out[-1] if came_out else None
    donation = isbt128.din_text(c.batch.order.din, flags or (SECOND_PRINT if before else None))
    fields = fields | {
        "din_text": donation,
        "compound_text": _with_serial(fields["compound_text"], donation, label_id),
    }
    return ev.LabelRequested(
        phase=c.phase.id,
        label_id=label_id,
        template=template,
        **version_and_hash(c.batch, template),
        fields=fields,
        identity=identity | {"flags": donation[-2:], "serial": serial_code(label_id)},
        reprint=before is not None,
        reason=before.voided.reason if before and before.voided else "",
        replaces=before.id if before else "",
        copy=copy,
        asked_by=_voided_by(c, before),
    )


def _with_serial(compound: str, donation: str, label_id: str) -> str:
    """The compound message with this label's donation text, and its serial at the end."""
    parts = [one.text for one in isbt128.parse(compound) if one.number not in ("023", "001")]
    return isbt128.compound(donation, *parts, serial_text(label_id))


def _voided_by(c: Context, before: Issued | None) -> str:
    found = c.run.last(ev.LabelVoided, label_id=before.id) if before else None
    return found[0].actor if found else ""
