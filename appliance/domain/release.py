"""Results against their limits: viability, concentration, dose, and the text that people sign.

Every result states its rule (F-041): compared by its point value, or by the ends of its interval that lie
nearest to the limits: the lower end for a minimum, the upper for a maximum, both for a window.
"""

from __future__ import annotations

from decimal import Decimal

from appliance.domain import events as ev
from appliance.domain.batch import Batch
from appliance.domain.phase_logic import Context
from appliance.domain.quantity import rounded
from appliance.domain.signatures import newest_change

POINT, LOWER_BOUND, BOTH_BOUNDS = "point", "lower_bound", "both_bounds"
# What the record says of each rule, of a minimum and of a window.
MINIMUM_RULES = {POINT: "point value", LOWER_BOUND: "lower end of the 95 % interval"}
WINDOW_RULES = {
    POINT: "point value inside the window",
    BOTH_BOUNDS: "both ends of the 95 % interval inside the window",
}


def judged(value: Decimal, low: Decimal | None, high: Decimal | None) -> str:
    """`pass` inside both bounds, else `fail`."""
    inside = (low is None or value >= low) and (high is None or value <= high)
    return "pass" if inside else "fail"


def judged_by(
    rule: str, value: Decimal, interval: list[Decimal], low: Decimal | None, high: Decimal | None
) -> str:
    """`pass` or `fail` by the rule; of an interval the lower end against `low`, the upper against `high`."""
    if rule == POINT:
        return judged(value, low, high)
    assert rule in (LOWER_BOUND, BOTH_BOUNDS), rule
    if len(interval) != 2:
        return "fail"  # an interval that nobody gave cannot lie inside anything
    ends = [judged(interval[0], low, None), judged(interval[1], None, high)]
    return "pass" if ends == ["pass", "pass"] else "fail"


def scientific(value: Decimal) -> str:
    """Three figures with an exponent, as cell numbers are written."""
    return f"{value:.2E}".replace("E+", "e").replace("E-", "e-")


def dose_result(c: Context, filled_ml: Decimal) -> ev.ResultReceived:
    """Viable cells a kilogram of body weight in the filled bag, with the interval of the count.

    dose = viable concentration x filled volume / weight. The interval carries the count's
    interval; the balance's and the order's own errors are far smaller and are not added.
    """
    found = c.batch.last(ev.ResultReceived, test="viable_concentration")
    low, high = c.phase.amount("dose_min", "cells/kg"), c.phase.amount("dose_max", "cells/kg")
    rule = c.phase.text.get("dose_rule", POINT)
    limit = f"{scientific(low)} to {scientific(high)} cells/kg"
    if found is None:
        return ev.ResultReceived(
            phase=c.phase.id,
            test="dose",
            value="",
            interval=[],
            unit="cells/kg",
            limit=limit,
            verdict="fail",
            rule="no accepted count",
        )
    per_kg = filled_ml / c.batch.order.weight_kg
    dose, ends = Decimal(found[1].value) * per_kg, [Decimal(x) * per_kg for x in found[1].interval]
    return ev.ResultReceived(
        phase=c.phase.id,
        test="dose",
        value=scientific(dose),
        interval=[scientific(end) for end in ends],
        unit="cells/kg",
        limit=limit,
        verdict=judged_by(rule, dose, ends, low, high),
        rule=WINDOW_RULES[rule],
    )


def viable_concentration(pooled: ev.CellCountReported) -> tuple[Decimal, Decimal, Decimal]:
    """Viable cells a mL with its 95 % interval, as the count gave them.

    A count that gave none is of an older record: then it is concentration times viability, and the
    relative half-widths of both intervals add in quadrature, each side by itself; the two errors
    are taken as independent (GUM, JCGM 100:2008, 5.1.6).
    """
    if pooled.viable_concentration_cells_ml and len(pooled.viable_concentration_interval_cells_ml) == 2:
        low, high = (Decimal(end) for end in pooled.viable_concentration_interval_cells_ml)
        return Decimal(pooled.viable_concentration_cells_ml), low, high
    share = Decimal(pooled.viability_percent) / 100
    cells = Decimal(pooled.concentration_cells_ml)
    viable = cells * share
    if viable == 0:
        high_cells = Decimal(pooled.concentration_interval_cells_ml[1])
        return viable, viable, high_cells * Decimal(pooled.viability_interval_percent[1]) / 100
    ends = []
    for end in (0, 1):
        of_cells = Decimal(pooled.concentration_interval_cells_ml[end]) / cells - 1
        of_share = Decimal(pooled.viability_interval_percent[end]) / 100 / share - 1
        ends.append((of_cells**2 + of_share**2).sqrt())
    return viable, max(Decimal(0), viable * (1 - ends[0])), viable * (1 + ends[1])


def replicate_cv_percent(values: list[Decimal]) -> Decimal:
    """Coefficient of variation of replicates, sample standard deviation over mean, in percent."""
    mean = sum(values, Decimal(0)) / len(values)
    if mean == 0 or len(values) < 2:
        return Decimal(0)
    variance = sum(((value - mean) ** 2 for value in values), Decimal(0)) / (len(values) - 1)
    return (variance.sqrt() / mean * 100).quantize(Decimal("0.1"))


def results_now(batch: Batch) -> list[ev.ResultReceived]:
    """The results as they are so: of each test in each phase the newest, in the order of the first."""
    return list({(r.phase, r.test): r for _, r in batch.all(ev.ResultReceived)}.values())


def batch_statement(c: Context) -> str:
    """The exact text that the signatures before the seal bind: results, labels, deviations, corrections."""
    labelled = c.batch.last(ev.ProductLabelled)
    recalled = [one.words for _, one in c.batch.all(ev.LotOfBatchRecalled)]
    statement = {
        "order": c.batch.order.id,
        "din": c.batch.order.din,
        "patient": c.batch.order.patient,
        "results": [
            {"test": r.test, "value": r.value, "unit": r.unit, "limit": r.limit, "verdict": r.verdict}
            for r in results_now(c.batch)
        ],
        "deviations": [f"{d.deviation}: {d.words}" for _, d in c.batch.all(ev.DeviationOpened)],
        "corrections": [
            f"{v.phase}/{v.key} {v.field}: {v.old} to {v.new} {v.unit}".strip()
            for _, v in c.batch.all(ev.ValueCorrected)
        ],
        # Said only where there is one: what was signed before recalls were told stays the same text.
        **({"recalled": recalled} if recalled else {}),
        "dose_label": labelled[1].label_id if labelled else "",
        "expires_at": labelled[1].expires_at if labelled else "",
        "simulated": c.batch.opened.simulated,
    }
    # Both persons sign the same text; whatever changes the batch between them asks for both anew.
    return c.content(statement, up_to=newest_change(reversed(c.batch.facts), c.phase.id))


def percent(value: Decimal) -> str:
    return rounded(value, 1)
