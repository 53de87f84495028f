"""The agent's way to the engine: commands over `engine.sock`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.link.client import EngineAway as LinkAway
from appliance.link.client import ask
from appliance.link.messages import MessageTooLong, Refused
from sync.agent import EngineAway, ack_body

COMMAND_TIMEOUT_S = 10.0


class SocketEngine:
    """Hands acknowledgements and documents to the engine; one short connection each."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def store_ack(self, ack: bytes, signature: bytes, *, log: str) -> str:
        return self._command("store_ack", ack_body(ack, signature, log=log))

    def deliver_document(self, envelope: Mapping[str, Any]) -> str:
        return self._command("deliver_document", {"envelope": dict(envelope)})

    def report_blocked(self, log: str, words: str) -> str:
        return self._command("record_blocked", {"log": log, "words": words})

    def _command(self, name: str, body: Mapping[str, Any]) -> str:
        """The engine's refusal in words, empty when it accepted; raises `EngineAway`."""
        try:
            answer = ask(self._socket, name, body, timeout_s=COMMAND_TIMEOUT_S)
        except LinkAway as away:
            raise EngineAway(str(away)) from None
        except MessageTooLong as problem:
            return str(problem)
        return answer.words if isinstance(answer, Refused) else ""
