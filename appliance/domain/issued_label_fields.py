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


def requested(c: Context, copy: int, expires_at: datetime) -> ev.LabelRequested:
    """The next label of a copy; a second or repeated print says so by its flag (ISBT 128, 05)."""
    label_id = f"{c.batch.id}-L{len(of_batch(c.batch)) + 1}"
    earlier = [one for one in issued(c.run) if one.request.copy == copy]
    came_out = [one for one in earlier if one.printed is not None]
    before = came_out[-1] if came_out else None
    settings, order = c.batch.recipe.settings, c.batch.order
    collection_type = settings.get("collection_type", "0")
    identity = {
        "din": order.din,
        "description_code": settings.get("description_code", ""),
        "division": settings.get("division", "00"),
    }
    donation = isbt128.din_text(order.din, SECOND_PRINT if before else None)
    told = identity | {
        "expires_at": expires_at.isoformat(),
        "collection_type": collection_type,
        "flags": donation[-2:],
        "serial": serial_code(label_id),
    }
    fields = final_product_fields(
        order,
        settings,
        expires_at=expires_at,
        time_zone=c.batch.opened.time_zone,
        product=settings.get("product", c.batch.recipe.title),
        volume_ml=plain(c.phase.amount("volume", "mL")),
        lot=f"{c.batch.id}, label {label_id.rpartition('-')[2]}",
        site=c.batch.opened.site,
    )
    fields |= {
        "din_text": donation,
        "compound_text": _with_serial(fields["compound_text"], donation, label_id),
    }
    template = c.phase.text.get(TEMPLATE_TEXT, FINAL)
    return ev.LabelRequested(
        phase=c.phase.id,
        label_id=label_id,
        template=template,
        **version_and_hash(c.batch, template),
        fields=fields,
        identity=told,
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
