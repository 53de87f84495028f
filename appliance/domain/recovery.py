"""After a crash: what was under way is unknown, so it is closed as such and phases are held."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.batch import Batch, Unit
from appliance.domain.decisions import hold_with_alarm


def recover(unit: Unit, term: int, last_seq: int) -> list[ev.Event]:
    """After a crash: what was under way is unknown, so it is closed as such and phases are held."""
    events: list[ev.Event] = []
    words = "The control computer restarted. Look at the devices and the bag before going on."
    held = hold_with_alarm(
        unit,
        "restart_of_engine",
        words,
        title="Held after a restart",
        action="Look at the bag and the lines. Then restart the phase.",
    )
    if not unit.cleanly_stopped:
        phases = [event.phase for event in held if isinstance(event, ev.PhaseHolding)]
        events.append(ev.RecoveredFromCrash(term=term, phases=phases, last_seq=last_seq))
    if unit.batch is None or unit.batch.closed:
        return events
    return [*events, *_close_what_was_under_way(unit.batch), *held]


def _close_what_was_under_way(batch: Batch) -> list[ev.Event]:
    unknown = "The control computer restarted before this was answered. Whether it happened is not known."
    events: list[ev.Event] = []
    for _, order in batch.all(ev.DeviceOrdered):
        if not _answered(batch, order.order_id):
            events.append(
                ev.DeviceRefusedOrder(
                    phase=order.phase,
                    order_id=order.order_id,
                    device=order.device,
                    fault="unknown",
                    words=unknown,
                )
            )
    for _, scan in batch.all(ev.ScanRequested):
        ended = batch.last(ev.ScanCancelled, scan_id=scan.scan_id)
        if ended is None and batch.last(ev.ScanRead, scan_id=scan.scan_id) is None:
            events.append(
                ev.ScanRead(
                    phase=scan.phase,
                    key=scan.key,
                    scan_id=scan.scan_id,
                    texts=[],
                    symbologies=[],
                    reasons=["camera_restarting"],
                    picture="",
                )
            )
    for _, asked in batch.all(ev.ExchangeFileRequested):
        if batch.last(ev.ExchangeFileRead, import_id=asked.import_id) is None:
            events.append(
                ev.ExchangeFileRead(
                    phase=asked.phase,
                    key=asked.key,
                    import_id=asked.import_id,
                    file=asked.file,
                    sha256="",
                    size_bytes=0,
                    reason="interrupted",
                    words=unknown,
                )
            )
    for _, count in batch.all(ev.CountRequested):
        done = batch.last(ev.CellCountReported, count_id=count.count_id)
        if done is None and batch.last(ev.CountFailed, count_id=count.count_id) is None:
            events.append(
                ev.CountFailed(
                    phase=count.phase, count_id=count.count_id, replicate=count.replicate, words=unknown
                )
            )
    for _, label in batch.all(ev.LabelRequested):
        # One that is drawn goes on as it is: whether its order was carried out is asked then.
        outcomes = (ev.LabelDrawn, ev.LabelPrinted, ev.LabelVoided)
        if not any(batch.last(kind, label_id=label.label_id) for kind in outcomes):
            events.append(ev.LabelVoided(phase=label.phase, label_id=label.label_id, reason=unknown))
    return events


def _answered(batch: Batch, order_id: str) -> bool:
    reported = batch.last(ev.DeviceReported, order_id=order_id)
    return reported is not None or batch.last(ev.DeviceRefusedOrder, order_id=order_id) is not None
