"""What comes from outside: central's acknowledgements and the QP's decision. Checked here, never trusted."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from appliance.access.documents import Envelope, parse, to_json
from appliance.access.errors import DocumentRefused
from appliance.access.qp_decision import Decision, check_decision
from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.domain.errors import CommandRefused, NotPlausible
from appliance.engine import central_desk
from appliance.engine.central_desk import CentralDesk
from appliance.engine.identity_desk import IdentityDesk
from appliance.engine.port import EnginePort
from appliance.engine.sealing import expected_seal
from appliance.engine.site_documents import LISTS, SiteDocuments
from appliance.link.messages import Command
from appliance.link.server import Caller
from appliance.record.segments import fingerprint, signed_by

ACK_DOMAIN = b"cellwright/ack/1\x00"
MEDIA_TYPE = "application/json"


def decoded(value: object, name: str) -> bytes:
    """Bytes that travel as base64; raises `NotPlausible`."""
    try:
        return base64.b64decode(str(value), validate=True)
    except binascii.Error as error:
        raise NotPlausible(f"'{name}' is not base64. Send it again.") from error


class _Ack(msgspec.Struct):
    unit: str
    log: str
    epoch: str
    acked_seq: int
    acked_hash: str
    public_key: bytes


class ReleaseDesk:
    """Takes acknowledgements and documents in."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._lists = SiteDocuments(engine)

    async def store_ack(self, command: Command, caller: Caller) -> dict[str, Any]:
        """Keep central's signed word, once its key, log and hash are ours."""
        ack = decoded(command.body.get("ack"), "ack")
        signature = decoded(command.body.get("signature"), "signature")
        log = str(command.body.get("log", "gxp"))
        try:
            said = self._checked_ack(ack, signature, log)
        except CommandRefused as refused:
            if refused.reason == "fork":
                # Signed by our central: people see it, and no batch starts on a record that is in dispute.
                words = str(refused)
                engine = self._engine
                await engine.turn(lambda: decisions.record_blocked(engine.unit, log, words))
            raise
        await self._engine.keep_ack(ack, signature, log=log, acked_seq=said.acked_seq)
        return {}

    def _checked_ack(self, content: bytes, signature: bytes, log: str) -> _Ack:
        engine = self._engine
        try:
            said = msgspec.json.decode(content, type=_Ack)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotPlausible(f"The acknowledgement cannot be read: {error}.") from error
        if fingerprint(said.public_key) not in engine.trust.central or not signed_by(
            said.public_key, ACK_DOMAIN + content, signature
        ):
            raise CommandRefused("This acknowledgement is not by our central.", reason="ack_not_trusted")
        head = engine.record.head(log)
        if (said.unit, said.log, said.epoch) != (engine.unit.id, log, head.epoch.hex()):
            raise CommandRefused("This acknowledgement is about another log.", reason="ack_other_log")
        ours = next(iter(engine.record.read(said.acked_seq, said.acked_seq, log=log)), None)
        if ours is None or ours.hash.hex() != said.acked_hash:
            raise CommandRefused(
                f"Central holds another event {said.acked_seq} than this unit. Start no batch; call QA.",
                reason="fork",
            )
        return said

    async def record_blocked(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The agent tells that central refuses the log: an alarm that nobody at the unit can hide."""
        log, words = str(command.body.get("log", "gxp"))[:16], str(command.body.get("words", ""))[:500]
        engine = self._engine
        await engine.turn(
            lambda: decisions.record_blocked(engine.unit, log, words), command=command.command_id
        )
        return {}

    async def deliver_document(self, command: Command, caller: Caller) -> dict[str, Any]:
        """A signed document from central or carried by hand: a decision, or a list that comes to hold."""
        engine = self._engine
        body = command.body.get("envelope")
        if not isinstance(body, dict):
            raise NotPlausible("'envelope' is missing. Deliver the signed file as it is.")
        envelope = parse(body)
        if envelope.type == "identity":  # its bytes must not become a file of the record
            return await IdentityDesk(engine).deliver(envelope, command)
        reference = await engine.journal.in_writer(engine.record.put_blob, to_json(envelope), MEDIA_TYPE)
        blob = str(reference.sha256)
        if envelope.type in LISTS:
            return await self._lists.deliver(envelope, blob, command.command_id)
        if envelope.type in central_desk.TYPES:
            return await CentralDesk(engine).deliver(envelope, blob, command.command_id)
        if envelope.type != "decision":
            words = f"A {envelope.type} document is not taken while the unit runs. Call the administrator."
            await self._refuse(envelope, blob, DocumentRefused("wrong_type", words), command)
        try:
            await engine.turn(lambda: self._decide(envelope, blob), command=command.command_id)
        except DocumentRefused as refusal:
            if refusal.reason == "seen":
                return {"words": str(refusal)}
            await self._refuse(envelope, blob, refusal, command)
        await engine.seal_soon()
        return {}

    async def _refuse(
        self, envelope: Envelope, blob: str, refusal: DocumentRefused, command: Command
    ) -> None:
        event: ev.Event = ev.DocumentRefused(
            type=envelope.type, blob=blob, reason=refusal.reason, words=str(refusal)
        )
        if envelope.type == "decision":
            event = ev.DispositionRefused(reason=refusal.reason, words=str(refusal), decision_blob=blob)
        await self._engine.turn(lambda: [event], command=command.command_id)
        raise refusal

    def _decide(self, envelope: Envelope, blob: str) -> list[ev.Event]:
        engine, batch = self._engine, self._engine.unit.batch
        if batch is None or batch.sealed is None:
            raise DocumentRefused("not_sealed", "No sealed batch waits for a decision on this unit.")
        sealed_seq = batch.sealed.sealed_seq
        following = [one.header.kind for one in engine.record.read(sealed_seq + 1)]
        decision = check_decision(
            envelope,
            people=engine.desk.people,  # whose key was revoked here certifies nothing
            expected=expected_seal(engine.unit, following),
            seen_version=engine.unit.decision_versions.get(batch.id, 0),
            now=engine.clock.utc(),
            time_trusted=engine.unit.time_trusted,
            trust=engine.trust,
            recorded=[one.disposition for _, one in batch.all(ev.DispositionRecorded)],
        )
        return [
            ev.DocumentReceived(
                type="decision", blob=blob, words=f"{decision.disposition} by {decision.name}"
            ),
            self._recorded(decision, envelope, blob),
        ]

    @staticmethod
    def _recorded(decision: Decision, envelope: Envelope, blob: str) -> ev.DispositionRecorded:
        return ev.DispositionRecorded(
            disposition=decision.disposition,
            stage=decision.stage,
            version=decision.version,
            by=decision.by,
            name=decision.name,
            decided_at=decision.decided_at.isoformat(),
            expires_at=decision.expires_at.isoformat(),
            decision_blob=blob,
            decision_hash=envelope.content_hash,
            sealed_seq=decision.sealed_seq,
        )
