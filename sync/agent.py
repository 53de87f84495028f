"""Ship the record to central and bring signed documents back; nothing else depends on it.

The agent reads the record beside the engine, never writes it, and hands acknowledgements and
documents to the engine over `engine.sock`. Whatever is away (central, engine, record) is
waited for; the backlog only grows. What it remembers can be made again from both sides.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from appliance.access.private_files import write_whole
from appliance.domain.blob_names import named_blobs
from appliance.record.acknowledgements import cut_off_words
from appliance.record.canonical import decode_payload
from appliance.record.errors import BlobMissing, RecordRefused
from appliance.record.log import Record
from appliance.record.segments import Segment
from sync.acks import Ack, AckRefused, read_ack
from sync.earlier_logs import send_earlier
from sync.envelope import EnvelopeTooLarge, pack
from sync.outbox import LOGS, Outbox, SendBlob, SendSegment
from sync.transport import Central, CentralAway, CentralRefused

SCAN_RECORDS_MAX = 5000  # looked through for files at one go

_log = logging.getLogger("cellwright.sync")


class EngineAway(Exception):
    """The engine did not take it; it is offered again later."""


class Engine(Protocol):
    """What the agent hands to the engine; all raise `EngineAway`, and return the words of a refusal."""

    def store_ack(self, ack: bytes, signature: bytes, *, log: str) -> str: ...
    def deliver_document(self, envelope: Mapping[str, Any]) -> str: ...
    def report_blocked(self, log: str, words: str) -> str: ...


class TransferState(msgspec.Struct, kw_only=True):
    """What the agent keeps between runs; losing it costs repeated questions and nothing else."""

    down_cursor: int = 0
    offered_before: int = 0  # up to here documents were taken by a record that a restore has replaced
    blobs_done_seq: int = 0
    epoch: str = ""  # the log in which `blobs_done_seq` counts
    earlier_done: list[str] = []  # logs before a restore whose records and files were brought

    @classmethod
    def load(cls, path: Path) -> TransferState:
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError):
            return cls()

    def save(self, path: Path) -> None:
        write_whole(path, msgspec.json.encode(self) + b"\n")


@dataclass(slots=True)
class Tally:
    """What one round moved."""

    segments: int = 0
    blobs: int = 0
    documents: int = 0

    def moved(self) -> bool:
        return bool(self.segments or self.blobs or self.documents)


class Agent:
    """Carries between one record and one central."""

    def __init__(
        self, record: Record, central: Central, engine: Engine, *, trusted: Collection[str], state_file: Path
    ) -> None:
        self._record, self._central, self._engine = record, central, engine
        self._trusted = trusted
        self._state_file = state_file
        self._state = TransferState.load(state_file)
        self._epoch = record.head("gxp").epoch.hex()
        if self._state.epoch not in ("", self._epoch):
            # The unit was restored: its log began anew, and does not know what stopped since the copy.
            self._state.blobs_done_seq = 0
            self._state.offered_before = max(self._state.offered_before, self._state.down_cursor)
            self._state.down_cursor = 0
        self._state.epoch = self._epoch
        self.outbox = Outbox(blobs_seen_seq=self._state.blobs_done_seq)
        self._acks: dict[str, tuple[bytes, bytes, int]] = {}  # not yet with the engine
        self._blocked: dict[str, str] = {}  # not yet with the engine
        self._media_types: dict[str, str] = {}
        self._last_signed: dict[str, int] = {}
        self._agreed = self._engine_away = False
        self._down_offered = 0

    def round(self, *, pull: bool = True) -> Tally:
        """Send everything there is, then fetch documents.

        Raises
        ------
        CentralAway, CentralRefused
            Nothing is lost; try again later.
        """
        tally = Tally()
        if not self._agreed:
            self._send_earlier()
            self._agree()
        self._hand_over_acks()
        self._tell_blocked()
        while action := self.outbox.next(self._signed()):
            match action:
                case SendSegment(log, first_seq):
                    self._send_segment(log, first_seq)
                    tally.segments += 1
                case SendBlob(sha256):
                    self._send_blob(sha256)
                    tally.blobs += 1
        if pull or self._down_offered > self._state.down_cursor:
            tally.documents = self._pull()
        return tally

    def close(self) -> None:
        self._central.close()
        self._record.close()

    def behind(self) -> dict[str, int]:
        """Signed records that central has not acknowledged, by log."""
        signed = self._signed()
        return {log: max(0, signed[log] - self.outbox.sent[log]) for log in LOGS}

    def _send_earlier(self) -> None:
        """What central lacks of the logs before a restore goes first."""
        done = send_earlier(
            self._record.folder, self._central, trusted=self._trusted, done=self._state.earlier_done
        )
        if done != self._state.earlier_done:
            self._state.earlier_done = done
            self._state.save(self._state_file)

    def _agree(self) -> None:
        """Ask central how far it holds each log, and go on from there."""
        heads = self._central.heads()
        for log in LOGS:
            held, held_hash = heads.get((log, self._epoch), (0, ""))
            acked, _ = self._record.acked(log)
            head = self._record.head(log).seq
            if held > head:
                self._block(log, cut_off_words(log, held, head))
            elif held and self._hash_at(log, held) != held_hash:
                # Central holds what this record does not have. Sending the last run makes central
                # compare, keep the evidence and say "fork" in a way that people see. What the record
                # says was acknowledged does not count: an old copy of it knows less.
                last = list(self._record.segments(max(1, self._signed()[log]), log=log))
                acked = held = last[-1].first - 1 if last else 0
            self.outbox.start_from(log, acked=acked, held=held)
        self._agreed = True

    def _signed(self) -> dict[str, int]:
        """The last record under a signature, by log; looked up anew once it was sent."""
        for log in LOGS:
            sent = self.outbox.sent[log]
            if self._last_signed.get(log, 0) <= sent:
                last = sent
                for segment in self._record.segments(sent + 1, log=log):
                    last = segment.last
                self._last_signed[log] = last
        return self._last_signed

    def _send_segment(self, log: str, first_seq: int) -> None:
        segment = next(self._record.segments(first_seq, log=log))
        records = [record.data for record in self._record.read(segment.first, segment.last, log=log)]
        try:
            body = pack(segment.header, segment.signature, records)
            answer = self._central.put_segment(log, self._epoch, segment.first, body)
        except EnvelopeTooLarge as problem:
            self._block(log, str(problem))
            return
        except CentralRefused as refused:
            self._refused(log, refused)
            return
        self._acknowledged(log, segment, answer.ack, answer.signature)

    def _refused(self, log: str, refused: CentralRefused) -> None:
        if refused.status == 409 and refused.reason == "gap":
            wanted = refused.number("wanted_seq")
            _log.warning("Central wants %s from number %d; sending it again.", log, wanted)
            if not self.outbox.gap(log, wanted):
                raise refused
        elif refused.status in (409, 413, 422):
            self._block(log, str(refused))
        else:
            raise refused

    def _block(self, log: str, words: str) -> None:
        _log.error("%s stays here until QA has decided: %s", log, words)
        self.outbox.block(log, words)
        self._blocked[log] = words
        self._tell_blocked()

    def _tell_blocked(self) -> None:
        """People at the unit must see it: no new batch starts on a record that central disputes."""
        for log, words in list(self._blocked.items()):
            try:
                self._engine.report_blocked(log, words)
            except EngineAway:
                return
            del self._blocked[log]

    def _acknowledged(self, log: str, segment: Segment, ack: bytes, signature: bytes) -> None:
        said = self._checked(log, ack, signature)
        self._down_offered = max(self._down_offered, said.down_cursor)
        if said.acked_seq < segment.last or not self.outbox.acknowledged(log, said.acked_seq):
            raise CentralAway(f"Central took {log} up to {segment.last} and acknowledges {said.acked_seq}.")
        self._acks[log] = (ack, signature, said.acked_seq)
        if log == "gxp":
            self._look_for_blobs()
        self._hand_over_acks()

    def _checked(self, log: str, ack: bytes, signature: bytes) -> Ack:
        """Believe an acknowledgement only if it is central's and about exactly this record."""
        try:
            said = read_ack(ack, signature, trusted=self._trusted)
        except AckRefused as problem:
            raise CentralAway(str(problem)) from None
        place = (self._record.unit_id, log, self._epoch)
        if (said.unit, said.log, said.epoch) != place:
            raise CentralAway("Central acknowledged another unit's log. Tell QA.")
        if self._hash_at(log, said.acked_seq) != said.acked_hash:
            raise CentralAway(
                f"Central's hash of {log} {said.acked_seq} is not that of this record. Tell QA."
            )
        return said

    def _hand_over_acks(self) -> None:
        for log, (ack, signature, seq) in list(self._acks.items()):
            try:
                words = self._engine.store_ack(ack, signature, log=log)
            except EngineAway as away:
                if not self._engine_away:
                    _log.warning("Acknowledgements wait for the engine: %s", away)
                self._engine_away = True
                return
            self._engine_away = False
            if words:
                _log.error("The engine does not take the acknowledgement of %s %d: %s", log, seq, words)
            del self._acks[log]

    def _look_for_blobs(self) -> None:
        """Queue the files that events name which central holds by now."""
        while (first := self.outbox.blobs_seen_seq + 1) <= self.outbox.sent["gxp"]:
            last = min(self.outbox.sent["gxp"], first + SCAN_RECORDS_MAX - 1)
            for record in self._record.read(first, last):
                try:
                    body = decode_payload(record.payload).body
                except RecordRefused:
                    continue  # central counts what cannot be read; there is no file name in it
                self.outbox.name_blobs(named_blobs(body), up_to_seq=record.seq)
            self.outbox.name_blobs((), up_to_seq=last)

    def _send_blob(self, sha256: str) -> None:
        try:
            data = self._record.blob(sha256)
            self._central.put_blob(sha256, data, self._media_type(sha256))
        except BlobMissing as missing:
            _log.error("A file that the record names cannot be sent: %s", missing)
        except CentralRefused as refused:
            if refused.status in (403, 409):
                raise
            _log.error("Central does not take file %s: %s", sha256[:16], refused)
        self.outbox.blob_done(sha256)
        self._remember(blobs_done_seq=self.outbox.blobs_done_seq() or self._state.blobs_done_seq)

    def _media_type(self, sha256: str) -> str:
        if sha256 not in self._media_types:
            self._media_types = {blob.sha256: blob.media_type for blob in self._record.blob_refs()}
        return self._media_types.get(sha256, "application/octet-stream")

    def _pull(self) -> int:
        """Fetch documents and hand them to the engine, which judges them; returns how many."""
        taken = 0
        for cursor, envelope in self._central.down(self._state.down_cursor):
            kind = str(envelope.get("type", ""))[:20]
            if kind == "decision" and cursor <= self._state.offered_before:
                self._remember(down_cursor=cursor)  # it binds the log before the restore
                continue
            try:
                words = self._engine.deliver_document(envelope)
            except EngineAway as away:
                _log.warning("A document (%s) waits for the engine: %s", kind, away)
                return taken
            _log.info("Document %d (%s): %s", cursor, kind, words or "taken by the engine")
            self._remember(down_cursor=cursor)
            taken += 1
        return taken

    def _remember(self, **changed: int) -> None:
        before = (self._state.down_cursor, self._state.blobs_done_seq)
        for name, value in changed.items():
            setattr(self._state, name, value)
        if before != (self._state.down_cursor, self._state.blobs_done_seq):
            self._state.save(self._state_file)

    def _hash_at(self, log: str, seq: int) -> str:
        found = next(iter(self._record.read(seq, seq, log=log)), None)
        return found.hash.hex() if found else ""


def ack_body(ack: bytes, signature: bytes, *, log: str) -> dict[str, str]:
    """The body of the engine's command `store_ack`."""
    return {
        "ack": base64.b64encode(ack).decode(),
        "signature": base64.b64encode(signature).decode(),
        "log": log,
    }
