"""An engine as the agent sees it: the real local protocol on a real socket, and a real record behind it."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from datetime import UTC, datetime
from typing import Any

from central_site import Unit

from appliance.link.messages import (
    Accepted,
    Command,
    Hello,
    RecordView,
    Refused,
    Snapshot,
    SyncView,
    UnitView,
    decode_from_client,
    encode,
)
from sync.acks import read_ack


class SmallEngine:
    """Stores acknowledgements in the unit's record and keeps the documents that were delivered."""

    def __init__(self, unit: Unit, trusted: str) -> None:
        self._unit, self._trusted = unit, trusted
        self.documents: list[dict[str, Any]] = []
        self.blocked: dict[str, str] = {}
        self.refuse = ""
        unit.home.run.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(unit.home.socket))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self._unit.home.socket.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link, link.makefile("rb") as lines, contextlib.suppress(OSError):
                for line in lines:
                    message = decode_from_client(line)
                    if isinstance(message, Hello):
                        link.sendall(encode(self._snapshot()))
                    elif isinstance(message, Command):
                        link.sendall(encode(self._answer(message)))

    def _answer(self, command: Command) -> Accepted | Refused:
        if command.name == "store_ack":
            ack, signature = (base64.b64decode(command.body[name]) for name in ("ack", "signature"))
            said = read_ack(ack, signature, trusted=[self._trusted])
            self._unit.record.store_ack(ack, signature, log=command.body["log"], acked_seq=said.acked_seq)
        elif command.name == "record_blocked":
            self.blocked[command.body["log"]] = command.body["words"]
        else:
            assert command.name == "deliver_document", command.name
            self.documents.append(command.body["envelope"])
        if self.refuse:
            return Refused(command_id=command.command_id, reason="refused", words=self.refuse)
        return Accepted(command_id=command.command_id, seq=self._unit.record.head().seq)

    def _snapshot(self) -> Snapshot:
        unit = UnitView(
            id=self._unit.unit_id,
            site="",
            time_zone="UTC",
            simulated=True,
            clock_speed="1",
            software_version="0.1.0",
            term=1,
        )
        return Snapshot(
            seq=1,
            utc=datetime.now(UTC),
            time_trust="trusted",
            unit=unit,
            people=[],
            person=None,
            locked=False,
            stop_latched=False,
            orders=[],
            batch=None,
            prompts=[],
            alarms=[],
            devices=[],
            timers=[],
            sync=SyncView(acknowledged_seq=0, behind=0),
            record=RecordView(seq=1, hash="", committed_at=None),
        )
