"""A small world beside the bed: bath, bag, pump and balance as numbers that a test moves by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from appliance.domain import events as ev
from appliance.domain.batch import ReadingNow, Unit

DEVICES = {"thermostat": "thawer-1", "pump": "pump-1", "balance": "balance-1"}
THAW_S = 270  # from bag in the bath until its core is slush


@dataclass
class World:
    """What devices would say; nothing here decides anything."""

    bath_c: Decimal = Decimal("20.00")
    setpoint_c: Decimal = Decimal("20.00")
    running: str = "stopped"
    bag_in_bath_s: float | None = None
    probe_at: Decimal | None = None  # where a test holds the probe
    weight_g: Decimal = Decimal("65.00")
    pump_state: str = "stopped"
    pump_alarm: str = ""
    ordered_ml: Decimal = Decimal(0)
    delivered_ml: Decimal = Decimal(0)
    rate_ml_min: Decimal = Decimal(0)
    quality: dict[str, str] = field(default_factory=dict)  # role → quality, good unless said otherwise
    stable: bool = True
    answers_orders: bool = True
    refuses_orders: str = ""  # the words of a device that says no
    infused: list[Decimal] = field(default_factory=list)  # each volume that the pump was ordered to deliver
    moved_ml: Decimal = Decimal(0)  # everything that ever left the syringe
    arrives: Decimal = Decimal(1)  # the part of what the pump counts that reaches the bag
    bath_heats: bool = True

    def passes(self, seconds: float) -> None:
        """Time goes by for bath, bag and pump."""
        if self.running == "running" and self.bath_heats:
            step = Decimal(str(seconds)) / 20
            gap = self.setpoint_c - self.bath_c
            self.bath_c += max(-step, min(step, gap))
        if self.bag_in_bath_s is not None:
            self.bag_in_bath_s += seconds
        if self.pump_state == "infusing":
            due = self.rate_ml_min * Decimal(str(seconds)) / 60
            moved = min(due, self.ordered_ml - self.delivered_ml)
            self.delivered_ml += moved
            self.moved_ml += moved
            self.weight_g += moved * self.arrives
            if self.delivered_ml >= self.ordered_ml:
                self.pump_state = "stopped"

    @property
    def probe_c(self) -> Decimal:
        if self.probe_at is not None:
            return self.probe_at
        if self.bag_in_bath_s is None:
            return Decimal("-80.0")
        share = Decimal(str(self.bag_in_bath_s)) / THAW_S
        return (Decimal(-80) + 79 * min(share, Decimal("1.03"))).quantize(Decimal("0.01"))

    def obeys(self, order: ev.DeviceOrdered) -> ev.Event | None:
        """What the device host would report of an order; None when nobody answers."""
        if not self.answers_orders:
            return None
        if self.refuses_orders:
            return ev.DeviceRefusedOrder(
                phase=order.phase,
                order_id=order.order_id,
                device=order.device,
                fault="refused",
                words=self.refuses_orders,
            )
        self._does(order)
        return ev.DeviceReported(phase=order.phase, order_id=order.order_id, device=order.device, result={})

    def _does(self, order: ev.DeviceOrdered) -> None:
        match order.name:
            case "set":
                self.setpoint_c = Decimal(order.parameters["setpoint_c"])
            case "start":
                self.running = "running"
            case "infuse":
                self.ordered_ml = Decimal(order.parameters["volume_ml"])
                self.rate_ml_min = Decimal(order.parameters["rate_ml_min"])
                self.delivered_ml, self.pump_state, self.pump_alarm = Decimal(0), "infusing", ""
                self.infused.append(self.ordered_ml)

    def says(self, unit: Unit, now: datetime) -> None:
        """Put fresh readings before the unit."""
        values: dict[str, dict[str, object]] = {
            "thermostat": {
                "bath_c": self.bath_c,
                "setpoint_c": self.setpoint_c,
                "running": self.running,
                "probe_c": self.probe_c,
            },
            "pump": {"state": self.pump_state, "delivered_ml": self.delivered_ml, "alarm": self.pump_alarm},
            "balance": {"weight_g": self.weight_g.quantize(Decimal("0.01"))},
        }
        for role, readings in values.items():
            quality = self.quality.get(role, "good")
            for name, value in readings.items():
                unit.readings[DEVICES[role], name] = ReadingNow(
                    value=None if quality == "bad" else str(value),
                    unit="",
                    quality=quality,
                    detail="stable" if self.stable else "dynamic",
                    source_at=now.isoformat(),
                    received_at=now,
                )
