"""The exact text of the label template that a batch froze, out of the record's own files."""

from __future__ import annotations

import asyncio
from typing import Any

from appliance.access.documents import DocumentRefused, parse
from appliance.domain import events as ev
from appliance.domain import label_templates
from appliance.domain.batch import Unit
from appliance.record.errors import BlobMissing
from appliance.record.log import Record

ALTERED = "The approved label template of this batch cannot be found as it was approved. Call QA."


class TemplateGone(Exception):
    """There is no approved text to draw by; `str(error)` says so. Nothing may be printed."""


async def text_of(label: ev.LabelRequested, unit: Unit, record: Record) -> dict[str, Any]:
    """What the vision worker is told, so that it draws by the approved text and by no other.

    Empty for a batch of before, whose labels the program's own templates drew.

    Raises
    ------
    TemplateGone
        The batch did not freeze this template, or the record's file of it is gone or another one.
    """
    batch = unit.batch
    if batch is None or batch.opened.rules < label_templates.RULES_FROM:
        return {}
    frozen = label_templates.frozen(batch, label.template)
    if not frozen or frozen["hash"] != label.template_hash:
        raise TemplateGone(
            f"This batch froze no approved label template {label.template}. Nothing was printed. Call QA."
        )
    try:
        envelope = parse(await asyncio.to_thread(record.blob, frozen["template_blob"]))
    except (BlobMissing, DocumentRefused) as gone:
        raise TemplateGone(ALTERED) from gone
    if envelope.content_hash != frozen["hash"]:
        raise TemplateGone(ALTERED)
    return {
        "template_text": envelope.content.decode("utf-8"),
        "template_sha256": frozen["hash"],
    }
