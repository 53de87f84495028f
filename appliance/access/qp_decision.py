"""The QP's decision: its exact bytes, and what the unit checks before a hand-over is unlocked.

Nobody at the unit can release, and neither can central (SAFETY 11-13): a release holds only when
a QP's own key, named in the root-signed list of people, signed it over the sealed record that lies
on this unit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access.canonical import canonical_json
from appliance.access.documents import (
    THRESHOLDS,
    Envelope,
    fingerprint,
    refuse_expired,
    refuse_lower_version,
    sign,
    verify,
)
from appliance.access.errors import DocumentRefused
from appliance.access.keys import Trust
from appliance.access.people import People, Person
from appliance.domain.events import NOT_A_CHANGE_AFTER_SEAL

Stage = Literal["conditional", "final"]
Disposition = Literal["released", "rejected", "recalled"]

CHANGED = "The record changed after it was certified. Certify again."


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a decision document; a rejection or a recall carries its reason."""

    version: int
    unit: str
    batch: str
    stage: Stage
    disposition: Disposition
    recipe_hash: str
    log_epoch: str
    sealed_seq: int
    sealed_hash: str
    telemetry_seq: int
    telemetry_hash: str
    blobs_hash: str
    dose_labels: tuple[str, ...]
    decided_at: datetime
    expires_at: datetime
    by: str
    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedSeal:
    """What this unit sealed, and which events followed (kinds, oldest first)."""

    unit: str
    batch: str
    recipe_hash: str
    log_epoch: str
    sealed_seq: int
    sealed_hash: str
    telemetry_seq: int
    telemetry_hash: str
    blobs_hash: str
    dose_labels: tuple[str, ...]
    following: tuple[str, ...] = ()


def decision_content(
    seal: ExpectedSeal,
    *,
    version: int,
    stage: Stage,
    disposition: Disposition,
    by: Person,
    decided_at: datetime,
    expires_at: datetime,
    reason: str = "",
) -> bytes:
    """The exact bytes that the QP signs.

    Raises
    ------
    DocumentRefused
        A rejection or a recall without a reason.
    """
    if disposition != "released" and not reason.strip():
        raise DocumentRefused("no_reason", "A rejection needs a reason. Write it, then sign.")
    decision = Decision(
        version=version,
        unit=seal.unit,
        batch=seal.batch,
        stage=stage,
        disposition=disposition,
        recipe_hash=seal.recipe_hash,
        log_epoch=seal.log_epoch,
        sealed_seq=seal.sealed_seq,
        sealed_hash=seal.sealed_hash,
        telemetry_seq=seal.telemetry_seq,
        telemetry_hash=seal.telemetry_hash,
        blobs_hash=seal.blobs_hash,
        dose_labels=tuple(seal.dose_labels),
        decided_at=decided_at,
        expires_at=expires_at,
        by=by.id,
        name=by.name,
        reason=reason,
    )
    return canonical_json(msgspec.to_builtins(decision))


def sign_decision(content: bytes, key: Ed25519PrivateKey) -> Envelope:
    """The QP's own key over these bytes."""
    return sign("decision", content, key, "qp")


def read_decision(content: bytes) -> Decision:
    """Read decision bytes; bytes in any other form than ours are refused (`DocumentRefused`)."""
    try:
        decision = msgspec.json.decode(content, type=Decision)
        canonical = canonical_json(json.loads(content)) == content
    except (ValueError, TypeError) as error:
        raise DocumentRefused(
            "garbled", f"This decision cannot be read: {error}. Ask for a new one."
        ) from error
    aware = decision.decided_at.utcoffset() is not None and decision.expires_at.utcoffset() is not None
    # A key written twice in the JSON would let two readers read two decisions in the same bytes.
    if not canonical or not aware or decision.version < 1:
        raise DocumentRefused(
            "garbled", "This decision is not written in the form that this unit reads. Ask for a new one."
        )
    return decision


def check_decision(
    envelope: Envelope,
    *,
    people: People,
    expected: ExpectedSeal,
    seen_version: int,
    now: datetime,
    time_trusted: bool,
    trust: Trust | None = None,
    recorded: Sequence[str] = (),
) -> Decision:
    """Return the decision when it holds on this unit.

    Parameters
    ----------
    seen_version
        The highest version seen for this batch; 0 when there was none.
    trust
        Names the owner of a wrong key (central, this unit) in the refusal; decides nothing.
    recorded
        Dispositions on record for this batch, oldest first.

    Raises
    ------
    DocumentRefused
        With the words an operator needs; nothing may be unlocked.
    """
    signer = _refuse_wrong_signer(envelope, people, trust)
    decision = read_decision(envelope.content)
    if decision.by != signer.id or decision.name != signer.name:
        raise DocumentRefused(
            "wrong_person",
            f"This decision names {decision.name} and is signed with the key of {signer.name}. Tell QA.",
        )
    if (decision.unit, decision.batch) != (expected.unit, expected.batch):
        raise DocumentRefused(
            "wrong_batch",
            f"This decision is for batch {decision.batch} on unit {decision.unit}. Here it is batch "
            f"{expected.batch} on unit {expected.unit}. Ask for the decision of this batch.",
        )
    if decision.disposition == "released":
        _refuse_release(decision, expected, seen_version, now, time_trusted, recorded)
    elif decision.disposition in recorded and decision.version <= seen_version:
        raise DocumentRefused("seen", "This decision is on record already. Nothing more is to be done.")
    return decision


def _refuse_wrong_signer(envelope: Envelope, people: People, trust: Trust | None) -> Person:
    qp_keys = people.keys_of("qp")
    try:
        verify(envelope, allowed={"qp": qp_keys}, threshold=THRESHOLDS["decision"], document_type="decision")
    except DocumentRefused as refused:
        if refused.reason not in ("wrong_key", "wrong_role"):
            raise
        strangers = [one.key for one in envelope.signatures if one.key not in qp_keys] or [
            one.key for one in envelope.signatures
        ]
        raise _wrong_signer(strangers[0], people, trust) from refused
    key = next(one.key for one in envelope.signatures if one.role == "qp" and one.key in qp_keys)
    owner = people.key_owner(key)
    assert owner is not None, key
    signer = people.person(owner.person)
    assert signer is not None and signer.active, owner.person
    return signer


def _wrong_signer(key: str, people: People, trust: Trust | None) -> DocumentRefused:
    only_qp = "Only a QP's own key can release or reject. Nothing was unlocked; tell QA."
    owner = people.key_owner(key)
    if owner is not None:
        person = people.person(owner.person)
        assert person is not None, owner.person
        if owner.role == "qp" and not person.active:
            return DocumentRefused(
                "not_active", f"This decision is signed by {person.name}, who is no longer active. {only_qp}"
            )
        role = owner.role.replace("_", " ")
        return DocumentRefused(
            "wrong_role", f"This decision is signed by {person.name} with a key as {role}. {only_qp}"
        )
    kind = trust.owner_of(key) if trust is not None else None
    if kind == "central":
        return DocumentRefused("central_key", f"This decision is signed by central's own key. {only_qp}")
    if kind == "unit":
        return DocumentRefused("unit_key", f"This decision is signed by this unit's own key. {only_qp}")
    return DocumentRefused(
        "wrong_key", f"This decision is signed by a key that nobody on the list has ({key[:16]}). {only_qp}"
    )


def _refuse_release(
    decision: Decision,
    expected: ExpectedSeal,
    seen_version: int,
    now: datetime,
    time_trusted: bool,
    recorded: Sequence[str],
) -> None:
    final = next((one for one in recorded if one in ("rejected", "recalled")), None)
    if final is not None:
        raise DocumentRefused(
            "already_rejected", f"This batch is {final}. A later release does not undo that. Call QA."
        )
    refuse_lower_version("decision", decision.version, seen_version)
    if decision.version == seen_version:
        raise DocumentRefused("seen", "This decision is on record already. Nothing more is to be done.")
    refuse_expired("decision", decision.expires_at, now, time_trusted=time_trusted)
    _refuse_changed(decision, expected)


def _refuse_changed(decision: Decision, expected: ExpectedSeal) -> None:
    if decision.recipe_hash != expected.recipe_hash:
        raise DocumentRefused(
            "wrong_recipe", "This decision certifies a batch made by another recipe. Certify again."
        )
    if decision.dose_labels != expected.dose_labels:
        raise DocumentRefused(
            "wrong_dose", "The dose labels on this decision are not those of this batch. Certify again."
        )
    heads = ("log_epoch", "sealed_seq", "sealed_hash", "telemetry_seq", "telemetry_hash", "blobs_hash")
    if any(getattr(decision, name) != getattr(expected, name) for name in heads):
        raise DocumentRefused("changed", CHANGED)
    later = [kind for kind in expected.following if kind not in NOT_A_CHANGE_AFTER_SEAL]
    if later:
        raise DocumentRefused("changed", f"{CHANGED} ({later[0]} came after the seal.)")


def qp_key_is_listed(key: Ed25519PrivateKey, people: People) -> bool:
    """Whether this key may sign decisions: asked before a QP spends time on a review."""
    return fingerprint(key) in people.keys_of("qp")
