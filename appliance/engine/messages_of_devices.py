"""What device hosts say, turned into readings and facts."""

from __future__ import annotations

from typing import Any

from appliance.domain import device_news
from appliance.domain import events as ev
from appliance.domain.qualified import COMPARED
from appliance.engine.port import EnginePort
from appliance.engine.wear_ledger import WearLedger

SILENT_NS = 2_000_000_000


class DeviceMessages:
    """Translates the hosts' messages; runs in the loop and only ever begins turns."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._heard_ns: dict[str, int] = {}
        self._fault: dict[str, str] = {}
        self.stopped_ms: dict[str, int] = {}
        self.wear = WearLedger(engine)

    def take(self, device: str, message: dict[str, Any]) -> None:
        engine = self._engine
        if "readings" in message:
            self._readings(device, message["readings"])
        if "ready" in message:
            engine.readings.forget(device)
            self._identified(device, message["ready"])
        if "outcome" in message:
            outcome = message["outcome"]
            engine.begin(engine.turn(lambda: self._outcome(device, outcome)))
        if "restarted" in message:
            words = str(message["restarted"].get("words", ""))
            engine.readings.forget(device)
            engine.begin(engine.turn(lambda: device_news.restarted(engine.unit, device, words)))
            if "serial_number" in message["restarted"]:  # it told who it is: it may be another one
                self._identified(device, message["restarted"])
        if "wear" in message:
            self.wear.take(device, message["wear"])
        if message.get("stopped") is True:
            self.stopped_ms[device] = int(float(message.get("latency_ms", 0)))
        elif message.get("stopped") is False:
            words = str(message.get("words", ""))
            engine.begin(engine.turn(lambda: device_news.stop_unconfirmed(engine.unit, device, words)))
        if "fault" in message:
            self._fault[device] = str(message["fault"]["words"])
            if message["fault"]["kind"] == "line_lost" and device in self._heard_ns:
                # A line that is gone is no single lost answer: nobody waits for more silence.
                words = self._fault[device]
                engine.begin(engine.turn(lambda: device_news.silent(engine.unit, device, words)))
        if message.get("host", {}).get("state") == "started":
            self.wear.host_started(device)
        if message.get("host", {}).get("state") == "died":
            self._fault[device] = str(message["host"]["words"])
            engine.readings.forget(device)
            engine.begin(engine.turn(lambda: device_news.silent(engine.unit, device, self._fault[device])))

    def _identified(self, device: str, said: dict[str, Any]) -> None:
        engine, known = self._engine, self._engine.config.device(device)
        identity = {key: str(said.get(key, "")) for key in COMPARED}
        days = {"calibrated_until": known.calibrated_until, "qualified_until": known.qualified_until}
        engine.begin(
            engine.turn(lambda: device_news.identified(engine.unit, device, identity, **days)),
        )

    def _readings(self, device: str, readings: list[dict[str, Any]]) -> None:
        engine, now_ns = self._engine, self._engine.clock.monotonic_ns()
        engine.readings.take(device, readings, at=engine.clock.utc(), now_ns=now_ns)
        if any(reading["quality"] in ("good", "uncertain") for reading in readings):
            self._heard_ns[device] = now_ns
            self._fault.pop(device, None)
            if device in engine.unit.silent:
                engine.begin(engine.turn(lambda: device_news.recovered(engine.unit, device)))
                return
        engine.begin(engine.turn(list))

    def _outcome(self, device: str, outcome: dict[str, Any]) -> list[ev.Event]:
        batch = self._engine.unit.batch
        found = batch.last(ev.DeviceOrdered, order_id=outcome["id"]) if batch is not None else None
        if batch is None or found is None:
            return []
        phase, order_id = found[1].phase, str(outcome["id"])
        result = {str(key): str(value) for key, value in outcome.get("result", {}).items()}
        if outcome["ok"]:
            return [ev.DeviceReported(phase=phase, order_id=order_id, device=device, result=result)]
        return [
            ev.DeviceRefusedOrder(
                phase=phase,
                order_id=order_id,
                device=device,
                fault=str(outcome.get("fault", "")),
                words=str(outcome.get("words", "")),
                result=result,
            )
        ]

    def silent_devices(self, now_ns: int) -> list[tuple[str, str]]:
        """Devices of which nothing usable was heard for too long, and why."""
        return [
            (device, self._fault.get(device, "It does not answer."))
            for device, heard_ns in self._heard_ns.items()
            if now_ns - heard_ns > SILENT_NS and device not in self._engine.unit.silent
        ]
