"""Where the last order to a device stands, as far as the record knows."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.batch import Fact
from appliance.domain.phase_logic import Context


def last_order(c: Context, role: str, name: str) -> tuple[Fact, ev.DeviceOrdered] | None:
    """The newest order of that name to a role in this phase."""
    device = c.unit.device_of(role)
    return c.run.last(ev.DeviceOrdered, device=device.id if device else "", name=name)


def state_of_last_order(c: Context, role: str, name: str) -> str:
    """`none` since the phase last began to run, `pending`, `done` or `refused`.

    An order from before a restart counts as none: the logic looks at the device and decides anew,
    it never repeats blindly (SAFETY 4). Numbers decide what came first: a wall clock may be set back.
    """
    found = last_order(c, role, name)
    restarted = c.run.last(ev.PhaseRestarted)
    if found is None or (restarted is not None and found[0].seq < restarted[0].seq):
        return "none"
    order_id = found[1].order_id
    if c.run.has(ev.DeviceReported, order_id=order_id):
        return "done"
    return "refused" if c.run.has(ev.DeviceRefusedOrder, order_id=order_id) else "pending"
