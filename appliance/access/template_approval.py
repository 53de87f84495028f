"""Is this label template approved? A recipe developer and a QA reviewer, two people, over the exact text."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.access.documents import Envelope
from appliance.access.people import People
from appliance.access.recipe_approval import approved_by_two


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedTemplate:
    """The template's exact text, its hash, and who signed it (`person as role`)."""

    text: str
    content: bytes
    hash: str
    signers: tuple[str, ...]


def check_template_approval(envelope: Envelope, people: People) -> ApprovedTemplate:
    """Return the template when it is approved, as a recipe is.

    Raises
    ------
    DocumentRefused
        Unsigned, altered, by a wrong key or role, or both signatures by one person.
    """
    text, signers = approved_by_two(envelope, people, "label_template")
    return ApprovedTemplate(text=text, content=envelope.content, hash=envelope.content_hash, signers=signers)
