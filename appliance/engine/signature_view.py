"""What screens show of signatures and of what people entered."""

from __future__ import annotations

from datetime import datetime

from appliance.access.signing import SHORT_CODE_DIGITS
from appliance.domain import corrections
from appliance.domain.batch import Batch
from appliance.domain.prompts import Field
from appliance.domain.signatures import Signature
from appliance.link.messages import ChoiceView, EnteredView, FieldView, SignatureView


def field_view(field: Field) -> FieldView:
    """One thing to enter, as a screen asks for it."""
    return FieldView(
        name=field.name,
        label=field.label,
        kind=field.kind,  # type: ignore[arg-type]  # the domain's three kinds
        unit=field.unit,
        minimum=field.minimum,
        maximum=field.maximum,
        decimals=field.decimals,
        choices=[ChoiceView(value=choice.value, words=choice.words) for choice in field.choices],
    )


def signature_views(batch: Batch) -> list[SignatureView]:
    """The signatures of the batch, oldest first; one that was voided stays and says why."""
    return [_signature_view(one) for one in batch.signatures.given if one.at]


def _signature_view(one: Signature) -> SignatureView:
    void = "" if one.stands else f"Entry {one.because_seq} changed what was signed."
    return SignatureView(
        phase=one.phase,
        what=one.what,
        person=one.person,
        name=one.name,
        meaning=one.meaning,
        at=datetime.fromisoformat(one.at),
        signs=one.signs[:SHORT_CODE_DIGITS],
        seq=one.seq,
        void=void,
    )


def entered_views(batch: Batch) -> list[EnteredView]:
    """Each value that people entered: as it holds now, and as it was first."""
    waiting = {(one.phase, one.key): one for _, one in batch.open_proposals}
    views = []
    for entry in corrections.entries(batch):
        proposed = waiting.get((entry.run.phase.id, entry.key))
        for field in entry.fields:
            reasons = [
                c.reason for _, c in entry.run.corrections if (c.key, c.field) == (entry.key, field.name)
            ]
            new = proposed.values.get(field.name) if proposed is not None else None
            views.append(
                EnteredView(
                    prompt=f"{entry.run.phase.id}/{entry.key}",
                    phase=entry.run.phase.id,
                    title=entry.run.phase.title,
                    field=field_view(field),
                    value=entry.values.get(field.name, ""),
                    words=corrections.words_of(field, entry.values.get(field.name, "")),
                    first=corrections.words_of(field, entry.first_values.get(field.name, "")),
                    reasons=reasons,
                    waits="" if new is None else corrections.words_of(field, new),
                )
            )
    return views
