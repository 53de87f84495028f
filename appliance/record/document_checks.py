"""The signed documents that a batch stands on: whose signatures they carry, and what they decide about.

Whether a signature holds is said without asking anyone; whether the signer may sign is said by the list
of trusted keys, and by the people whom a trusted root names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.record.canonical import read_json
from appliance.record.checks import Event, Finding, Run, Trust
from appliance.record.errors import RecordRefused
from appliance.record.segments import fingerprint, signed_by

DOCUMENT_DOMAIN = b"cellwright/doc/1\x00"
# Which documents events name, and in which role each must be signed; a recipe needs two, of two persons.
DOCUMENTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("BatchOpened", "people_blob"): ("root",),
    ("DocumentActivated", "blob"): ("root",),
    ("BatchOpened", "order_blob"): ("central",),
    ("BatchOpened", "recipe_blob"): ("recipe_developer", "qa_reviewer"),
    ("DispositionRecorded", "decision_blob"): ("qp",),
}
TEMPLATE_ROLES = ("recipe_developer", "qa_reviewer")  # of each label template that a batch froze
# What a decision says of the seal it was made over.
_OF_THE_SEAL = ("sealed_seq", "sealed_hash", "log_epoch", "telemetry_seq", "telemetry_hash", "blobs_hash",
                "recipe_hash")  # fmt: skip

Signer = tuple[str, str]  # role, fingerprint


@dataclass(slots=True)
class _Walk:
    trust: Trust | None
    findings: list[Finding] = field(default_factory=list)
    distrusted: list[str] = field(default_factory=list)
    people: dict[Signer, str] = field(default_factory=dict)  # who signs with which key, by the newest list
    seals: dict[str, dict[str, Any]] = field(default_factory=dict)


def check_documents(
    run: Run, blob: Callable[[str], bytes | None], trust: Trust | None
) -> tuple[list[Finding], list[str]]:
    """Check the signed documents a batch stands on; returns findings and what is not trusted, in words."""
    walk = _Walk(trust)
    for event in run.kept:
        body = event.payload.body
        if event.header.kind == "BatchSealed" and event.payload.batch is not None:
            walk.seals[event.payload.batch] = body
        for (kind, name), roles in DOCUMENTS.items():
            data = blob(str(body.get(name, ""))) if kind == event.header.kind and body.get(name) else None
            if data is not None:
                _check(walk, run, event, name, roles, data)
        for name, template in _templates_of(event).items():
            if (data := blob(str(template.get("template_blob", "")))) is not None:
                _check(walk, run, event, name, TEMPLATE_ROLES, data, template)
    return walk.findings, walk.distrusted


def _templates_of(event: Event) -> dict[str, dict[str, Any]]:
    """The label templates that a batch froze, by their names."""
    told = event.payload.body.get("label_templates") if event.header.kind == "BatchOpened" else None
    named = told if isinstance(told, dict) else {}
    return {name: one for name, one in named.items() if isinstance(one, dict)}


def _check(
    walk: _Walk,
    run: Run,
    event: Event,
    name: str,
    roles: tuple[str, ...],
    data: bytes,
    template: dict[str, Any] | None = None,
) -> None:
    signers, content, words = open_envelope(data)
    frozen = template.get("hash") if template is not None and signers else None
    if not words and frozen not in (None, hashlib.sha256(content).hexdigest()):
        words = "the batch was opened with another label template than the one it names."
    if not words and name == "decision_blob":
        words = _decision_misfit(walk, run, event, content)
    if not words and name == "recipe_blob" and signers:
        said = event.payload.body.get("recipe_hash")
        if said is not None and hashlib.sha256(content).hexdigest() != said:
            words = "the batch was opened with another recipe than the one it names."
    if words:
        walk.findings.append(Finding(words, run.log, event.header.seq, event.header.kind))
        return
    if roles == ("root",) and event.payload.body.get("type", "people") == "people":
        walk.people = _people_of(content)
    if walk.trust is not None and signers and not _trusted(walk, walk.trust, roles, signers):
        place = f"{run.log} event {event.header.seq} ({event.header.kind})"
        walk.distrusted.append(f"the document named in {place}, {name}")


def _trusted(walk: _Walk, trust: Trust, roles: tuple[str, ...], signers: list[Signer]) -> bool:
    """Whether in each role somebody signed whom the list of keys, and the list of people, vouch for."""
    persons: list[set[str]] = []
    for role in roles:
        mine = [signer for signer in signers if signer[0] == role]
        if trust.judges(role):
            mine = [signer for signer in mine if trust.knows(*signer)]
            if not mine:
                return False
        # People's keys come and go by the list of people, which the trusted root signs.
        if role not in ("root", "central") and trust.judges("root"):
            persons.append({walk.people[signer] for signer in mine if signer in walk.people})
            if not persons[-1]:
                return False
    # Nobody approves what he wrote: two roles are two persons.
    return len(persons) < 2 or len(set.union(*persons)) > 1


def open_envelope(data: bytes) -> tuple[list[Signer], bytes, str]:
    """Signers (role, fingerprint), content, and what is wrong; a file that is no envelope has no signers."""
    try:
        envelope = read_json(data)
        content = base64.b64decode(envelope["content"], validate=True)
        message = (
            DOCUMENT_DOMAIN + str(envelope["type"]).encode() + b"\x00" + hashlib.sha256(content).digest()
        )
        signers = []
        for signature in envelope["signatures"]:
            public_key = base64.b64decode(signature["public_key"], validate=True)
            made = base64.b64decode(signature["signature"], validate=True)
            if fingerprint(public_key) != signature["key"] or not signed_by(public_key, message, made):
                return [], content, "the signature on the document it names does not hold."
            signers.append((str(signature["role"]), str(signature["key"])))
    except (ValueError, KeyError, TypeError):
        return [], b"", ""
    return signers, content, ""


def _people_of(content: bytes) -> dict[Signer, str]:
    """Who signs with which key, by a list of people; nobody where it is no such list."""
    try:
        rows = read_json(content)["keys"]
        return {(str(row["role"]), str(row["key"])): str(row["person"]) for row in rows}
    except (RecordRefused, KeyError, TypeError):
        return {}


def _decision_misfit(walk: _Walk, run: Run, event: Event, content: bytes) -> str:
    try:
        decision = read_json(content)
        sealed_seq, sealed_hash, batch = decision["sealed_seq"], decision["sealed_hash"], decision["batch"]
    except (RecordRefused, KeyError, TypeError):
        return "the decision it names cannot be read."
    held = run.hash_at(sealed_seq) if isinstance(sealed_seq, int) else None
    if batch != event.payload.batch or held is None or held.hex() != sealed_hash:
        return "the decision it names was made for another record."
    said = event.payload.body.get("decision_hash")
    if said is not None and said != hashlib.sha256(content).hexdigest():
        return "the decision it names is another one than was recorded."
    seal = walk.seals.get(batch, {})
    if any(decision.get(name, seal.get(name)) != seal[name] for name in _OF_THE_SEAL if name in seal):
        return "the decision it names was made for another seal."
    return ""
