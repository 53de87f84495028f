"""Offer the exact bytes of a decision, and take them back signed by the QP's own key.

Central holds no QP key (SAFETY 12). What it takes back must be byte for byte what it offered,
signed with a key that the root-signed list of people names as this QP's; the unit checks
all of it again and believes nothing that central says.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from appliance.access import documents
from appliance.access.documents import Envelope
from appliance.access.errors import AccessRefused, DocumentRefused
from appliance.access.people import People, Person
from appliance.access.qp_decision import Disposition, Stage, decision_content, read_decision
from sync.acks import utc_text
from sync.central.accounts import SignedIn
from sync.central.blob_store import BlobStore
from sync.central.review import Review, review_batch
from sync.central.store import Decision, Document, Offer, Store
from sync.central.verdict import verify_record

PEOPLE_ID = "people"


class CertifyRefused(Exception):
    """No decision was offered or taken; the words say what to do."""


@dataclass(frozen=True, slots=True)
class Certify:
    """Offers decisions about reviewed batches and takes them back."""

    store: Store
    blobs: BlobStore
    roots: Callable[[], tuple[str, ...]]  # asked each time: a list of people may come while central runs

    def people(self) -> People | None:
        """The list of people as imported, verified under the root again each time it is used."""
        held = self.store.document("people", PEOPLE_ID)
        if held is None:
            return None
        return People.from_envelope(documents.parse(held.envelope), root_keys=self.roots())

    def offer(
        self,
        review: Review,
        who: SignedIn,
        *,
        stage: Stage,
        disposition: Disposition,
        reason: str,
        now: datetime,
    ) -> Offer:
        """Make and keep the exact bytes that this QP may sign.

        Raises
        ------
        CertifyRefused
            Not a QP of the signed list, or the batch is not sealed, complete and verified.
        """
        qp = self._qp(who)
        self._refuse_unready(review, disposition)
        try:
            content = decision_content(
                review.expected_seal(),
                version=max((d.version for d in review.decisions), default=0) + 1,
                stage=stage,
                disposition=disposition,
                by=qp,
                decided_at=now.replace(microsecond=0),
                expires_at=review.decision_expiry(now).replace(microsecond=0),
                reason=reason,
            )
        except DocumentRefused as refused:
            raise CertifyRefused(str(refused)) from None
        offer = Offer(
            offer_id=secrets.token_hex(16),
            unit_id=review.unit_id,
            batch=review.batch,
            content=content,
            person=qp.id,
            made_at=utc_text(now),
        )
        self.store.put_offer(offer)
        return offer

    def take(self, unit_id: str, batch: str, who: SignedIn, envelope: Envelope, *, now: datetime) -> Decision:
        """Take a signed decision, keep it and put it on its way to the unit.

        Raises
        ------
        CertifyRefused
            Other bytes than offered, another key, or the batch changed since.
        """
        qp = self._qp(who)
        self._refuse_signature(envelope, qp)
        offers = self.store.offers(unit_id, batch, qp.id)
        if envelope.content not in [offer.content for offer in offers]:
            raise CertifyRefused("These are not the bytes that were offered to you. Open the decision again.")
        review = review_batch(self.store, unit_id, batch)
        content = read_decision(envelope.content)
        if review is None or not review.seal:
            raise CertifyRefused("There is no such sealed batch.")
        if content.sealed_hash != review.expected_seal().sealed_hash:
            raise CertifyRefused("The batch was sealed again since. Review it and open the decision again.")
        self._refuse_unready(review, content.disposition)
        decision = Decision(
            unit_id=unit_id,
            batch=batch,
            version=content.version,
            envelope=documents.to_json(envelope),
            person=qp.id,
            stored_at=utc_text(now),
        )
        self._keep(decision, content.disposition)
        return decision

    def _keep(self, decision: Decision, disposition: Disposition) -> None:
        kind = "BatchCertified" if disposition == "released" else "BatchRejected"
        with self.store.transaction():
            known = [d.version for d in self.store.decisions(decision.unit_id, decision.batch)]
            if decision.version in known:
                raise CertifyRefused("This decision is here already. Nothing more is to be done.")
            self.store.put_decision(decision)
            self.store.queue_down(decision.unit_id, "decision", decision.envelope.strip())
            self.store.add_event(
                at=decision.stored_at,
                actor=decision.person,
                kind=kind,
                unit_id=decision.unit_id,
                batch=decision.batch,
            )

    def _refuse_unready(self, review: Review, disposition: Disposition) -> None:
        if review.missing:
            raise CertifyRefused("No decision is possible yet: " + " ".join(review.missing))
        if disposition == "released" and review.failed:
            raise CertifyRefused(
                f"Out of the release limit: {', '.join(review.failed)}. Such a batch can only be rejected."
            )
        if disposition == "released" and review.used_twice:
            raise CertifyRefused(
                f"No release yet: {review.used_twice[0].words} "
                + (
                    "After two hand-overs there is none."
                    if review.used_twice[0].subject == "hand_over"
                    else "A QP says first, on this batch's page, why it may be released."
                )
            )
        if disposition == "released" and not review.audit.holds:
            raise CertifyRefused(f"No release yet: {review.audit.words} A QA reviewer signs it first.")
        verdict = verify_record(self.store, self.blobs, review)
        if not verdict.good:
            raise CertifyRefused("The record does not verify: " + " ".join(verdict.faults[:3]))

    def _qp(self, who: SignedIn) -> Person:
        try:
            people = self.people()
        except AccessRefused as refused:
            raise CertifyRefused(f"Central's list of people cannot be used. {refused}") from None
        if people is None:
            raise CertifyRefused("Central has no list of people yet. Import it: `central import-document`.")
        person = people.person(who.person)
        if who.role != "qp" or person is None or not person.active or "qp" not in person.roles:
            raise CertifyRefused("Only a QP of the signed list of people may decide.")
        return person

    def _refuse_signature(self, envelope: Envelope, qp: Person) -> None:
        people = self.people()
        assert people is not None
        mine = {key.key for key in people.keys if key.person == qp.id and key.role == "qp"}
        try:
            documents.verify(envelope, allowed={"qp": mine}, threshold={"qp": 1}, document_type="decision")
        except DocumentRefused as refused:
            raise CertifyRefused(
                f"The decision is not signed with the key that the list of people names as yours. {refused}"
            ) from None


def import_people(store: Store, envelope: Envelope, *, root: tuple[str, ...], now: datetime) -> People:
    """Take in a root-signed list of people; raises `AccessRefused` when it is not, or is older."""
    held = store.document("people", PEOPLE_ID)
    people = People.from_envelope(envelope, root_keys=root, seen_version=held.version if held else 0)
    with store.transaction():
        store.put_document(
            Document(
                type="people",
                document_id=PEOPLE_ID,
                version=people.version,
                envelope=documents.to_json(envelope).strip(),
            )
        )
        body = f'{{"version":{people.version}}}'
        store.add_event(at=utc_text(now), actor="administrator", kind="PeopleImported", body=body)
    return people
