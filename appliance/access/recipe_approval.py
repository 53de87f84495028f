"""Is this recipe approved? A developer and a QA reviewer, two people, over the exact text."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.access.documents import THRESHOLDS, DocumentType, Envelope, verify
from appliance.access.errors import DocumentRefused
from appliance.access.people import People


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedRecipe:
    """The recipe's exact text, its hash, and who signed it (`person as role`)."""

    text: str
    content: bytes
    hash: str
    signers: tuple[str, ...]


def check_recipe_approval(envelope: Envelope, people: People) -> ApprovedRecipe:
    """Return the recipe when it is approved.

    A signer who has left since does not take the approval away; a key taken off the list does.

    Raises
    ------
    DocumentRefused
        Unsigned, altered, by a wrong key or role, or both signatures by one person.
    """
    text, signers = approved_by_two(envelope, people, "recipe")
    return ApprovedRecipe(text=text, content=envelope.content, hash=envelope.content_hash, signers=signers)


def approved_by_two(
    envelope: Envelope, people: People, document_type: DocumentType
) -> tuple[str, tuple[str, ...]]:
    """The text that a recipe developer and a QA reviewer signed, who are two people; and who they are.

    Raises
    ------
    DocumentRefused
        Unsigned, altered, by a wrong key or role, by one person, or no text.
    """
    content = verify(
        envelope,
        allowed={
            "recipe_developer": people.keys_of("recipe_developer", active_only=False),
            "qa_reviewer": people.keys_of("qa_reviewer", active_only=False),
        },
        threshold=THRESHOLDS[document_type],
        document_type=document_type,
    )
    words = f"This {document_type.replace('_', ' ')}"
    signers: dict[str, set[str]] = {"recipe_developer": set(), "qa_reviewer": set()}
    for signature in envelope.signatures:
        owner = people.key_owner(signature.key)
        if owner is not None and owner.role == signature.role:
            signers[owner.role].add(owner.person)
    if not any(
        developer != reviewer
        for developer in signers["recipe_developer"]
        for reviewer in signers["qa_reviewer"]
    ):
        raise DocumentRefused(
            "same_person",
            f"{words} was written and approved by the same person. A different QA reviewer must sign it.",
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentRefused("garbled", f"{words} is not text. Ask for it again.") from error
    named = tuple(f"{person} as {role}" for role, persons in signers.items() for person in sorted(persons))
    return text, named
