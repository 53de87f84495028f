"""A release count is made only by the counting method that was qualified, on the station it was qualified on.

Qualified means: a dilution series (ISO 20391-2) passed its limits, two persons put it on record, and
its last day is not over. It holds for exactly one version and hash of the method, one lens, one chamber.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from appliance.domain import events as ev
from appliance.domain.batch import Batch, PhaseRun, Unit
from appliance.domain.errors import CommandRefused, NotPermitted
from appliance.domain.people_rules import permit
from appliance.domain.prompts import check_reason
from appliance.domain.recipe import Recipe
from appliance.domain.roles import Actor

RULES_FROM = 3  # the first `BatchOpened.rules` by which a count needs a qualification
COUNTS = "count_cells"
# What makes a station: another lens, camera or chamber is another one. How a sample is diluted is not.
STATION = ("um_per_px", "field_depth_um", "optics", "chamber")
REASON = "count_not_qualified"
HASH_SHOWN = 12
WHAT_TO_DO = (
    "Have maintenance qualify it with a dilution series: cellwright unit qualify-count. "
    "Then restart the phase."
)

Identity = Mapping[str, str]  # id version hash


# ── May it count? ──────────────────────────────────────────────────────────────────────


def needed(batch: Batch) -> bool:
    """Whether this batch is decided by rules that know of qualified counts."""
    return batch.opened.rules >= RULES_FROM


def why_unfit(
    unit: Unit, method: str, known: Identity | None, station: Mapping[str, str], now: datetime
) -> str:
    """The words why a method may not count for a release; empty when it may.

    Parameters
    ----------
    known
        What the counting program told of the method last; None where it has not been heard since.
    """
    standing = unit.count_qualifications.get(method)
    if standing is None:
        return f"The counting method {method} is not qualified on this unit."
    return _why_not(standing) or _why_other(standing, known, station) or _why_over(unit, standing, now)


def _why_not(standing: ev.CountMethodQualified) -> str:
    if standing.verdict == "pass":
        return ""
    return f"The newest qualification of the counting method {standing.method} did not pass."


def _why_other(standing: ev.CountMethodQualified, known: Identity | None, station: Mapping[str, str]) -> str:
    if known is not None and not is_of(standing, known):
        return (
            f"The counting method {standing.method} is version {known['version']} "
            f"({known['hash'][:HASH_SHOWN]}); qualified is version {standing.version} "
            f"({standing.hash[:HASH_SHOWN]})."
        )
    other = [name for name in STATION if station.get(name, "") != standing.station.get(name, "")]
    if other:
        said = ", ".join(
            f"{name} {station.get(name) or 'not named'} in place of {standing.station.get(name) or 'none'}"
            for name in other
        )
        return f"The counting method {standing.method} was qualified on another station: {said}."
    return ""


def _why_over(unit: Unit, standing: ev.CountMethodQualified, now: datetime) -> str:
    if not unit.time_trusted:
        return (
            "This unit's clock is not trusted, so it cannot tell whether the qualification of the counting "
            f"method {standing.method} still holds. Two persons enter the time of a reference clock first."
        )
    if now.date() > date.fromisoformat(standing.qualified_until):
        return (
            f"The qualification of the counting method {standing.method} ended on {standing.qualified_until}."
        )
    return ""


def is_of(standing: ev.CountMethodQualified, identity: Identity) -> bool:
    """Whether this is the version and hash that was qualified."""
    return (identity.get("version"), identity.get("hash")) == (standing.version, standing.hash)


def told_at_opening(opened: Sequence[Identity], method: str) -> Identity | None:
    """What the counting program told of a method when the batch opened."""
    return next((one for one in opened if one["id"] == method), None)


def methods_of(recipe: Recipe) -> list[str]:
    """The counting methods that a recipe asks for, each once, in its order."""
    asked = [phase.text["method"] for phase in recipe.phases.values() if phase.type == COUNTS]
    return list(dict.fromkeys(asked))


def refuse_unfit(
    unit: Unit, recipe: Recipe, told: Sequence[Identity], station: Mapping[str, str], now: datetime
) -> None:
    """No product is thawed that could not be counted for its release.

    Raises
    ------
    CommandRefused
        With what to do.
    """
    for method in methods_of(recipe):
        known = told_at_opening(told, method)
        words = why_unfit(unit, method, known, station, now)
        if not words and known is None:
            words = f"The counting program does not tell which version of {method} it has."
        if words:
            raise CommandRefused(f"{words} {WHAT_TO_DO.partition(' Then')[0]}", reason=REASON)


# ── In a phase ─────────────────────────────────────────────────────────────────────────


def words_of_phase(unit: Unit, batch: Batch, run: PhaseRun, now: datetime) -> str:
    """Why the phase may not count now; empty when it may, or when it counts nothing."""
    if run.phase.type != COUNTS or not needed(batch):
        return ""
    method, station = run.phase.text["method"], batch.opened.station
    counted = _newest_count(run)
    if counted is not None:
        return why_unfit(unit, method, counted.method, counted.station, now)
    # The version was compared when the batch opened. Program and qualification may both be others since:
    # what counts, the next count tells, and one by another than the qualified method is not used.
    return why_unfit(unit, method, None, station, now)


def _newest_count(run: PhaseRun) -> ev.CellCountReported | None:
    """The newest count since the phase last began to run."""
    counted, restarted = run.last(ev.CellCountReported), run.last(ev.PhaseRestarted)
    if counted is None or (restarted is not None and counted[0].seq < restarted[0].seq):
        return None
    return counted[1]


def usable(unit: Unit, batch: Batch, count: ev.CellCountReported) -> bool:
    """Whether a count was made by what is qualified; one that was not decides nothing."""
    if not needed(batch):
        return True
    standing = unit.count_qualifications.get(count.method.get("id", ""))
    return (
        standing is not None
        and not _why_not(standing)
        and not _why_other(standing, count.method, count.station)
    )


# ── Qualification ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What two persons put on record: what the counting program worked out from their file."""

    method: str
    version: str
    hash: str
    station: dict[str, str]
    series: str
    design_blob: str
    report_blob: str
    figures: dict[str, str]
    limits: dict[str, str]
    verdict: str
    words: list[str]
    performed_on: str
    qualified_until: str
    months_max: int  # the longest that the site lets a qualification hold
    reason: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Asked:
        """From the body of a command as it is on record, where all but texts is JSON."""
        texts = {name: body[name] for name in cls.__dataclass_fields__}
        plain = ("station", "figures", "limits", "words", "months_max")
        return cls(**texts | {name: json.loads(texts[name]) for name in plain})

    def body(self) -> dict[str, Any]:
        """What goes on record of the command."""
        return asdict(self)


def qualify(unit: Unit, first: Actor, second: Actor, asked: Asked, now: datetime) -> list[ev.Event]:
    """Maintenance and a second person vouch that the series is this method's at this station (F-039).

    A series that fails goes on record too, and ends what was before.
    """
    permit(unit, first, "qualify_count")
    permit(unit, second, "confirm_qualification")
    if first.id == second.id:
        raise NotPermitted("A different person must confirm the qualification.", reason="same_person")
    reason = check_reason(asked.reason)
    _check_days(unit, asked, now)
    said = {name: one for name, one in asked.body().items() if name not in ("months_max", "reason")}
    # In one order only, whether they come from the command or from its record.
    said |= {name: dict(sorted(said[name].items())) for name in ("station", "figures", "limits")}
    qualified = ev.CountMethodQualified(
        **said,
        fictitious=unit.simulated,
        reason=reason,
        first_person=first.id,
        second_person=second.id,
    )
    over = f"due:{device_of(asked.method)}:"
    return [qualified, *(ev.AlarmCleared(alarm=key) for key in unit.alarms if key.startswith(over))]


def _check_days(unit: Unit, asked: Asked, now: datetime) -> None:
    if not unit.time_trusted:
        raise CommandRefused(
            "This unit's clock is not trusted, so it cannot tell whether the qualification holds. "
            "Two persons enter the time of a reference clock first.",
            reason="time_untrusted",
        )
    measured = _day(asked.performed_on, "The series was measured on", "2026-11-21")
    until = _day(asked.qualified_until, "The qualification holds up to", "2027-06-30")
    if measured > now.date():
        raise CommandRefused(
            f"The series was measured on {measured}, which is not yet. Write the day on which it was.",
            reason="not_plausible",
        )
    if until < now.date():
        raise CommandRefused(
            f"The qualification would have ended on {until}. Write a day that is not over.",
            reason="not_plausible",
        )
    latest = months_later(measured, asked.months_max)
    if until > latest:
        raise CommandRefused(
            f"A qualification holds {asked.months_max} months at most at this site. "
            f"Write {latest} or an earlier day.",
            reason="not_plausible",
        )


def _day(text: str, words: str, example: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.isoformat() != text or day.year < 2000:
        raise CommandRefused(f"{words} {text[:20]!r}: write a day such as {example}.", reason="not_plausible")
    return day


def months_later(day: date, months: int) -> date:
    """The same day some months later, or the last one of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = (date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1) - date.resolution).day
    return date(year, month + 1, min(day.day, last))


# ── What ends soon ─────────────────────────────────────────────────────────────────────


def device_of(method: str) -> str:
    """Under which name notices of a method stand beside those of devices."""
    return f"count.{method}"


def days_of(unit: Unit) -> Iterator[tuple[str, str, str]]:
    """Of each method: name beside the devices, title, and the last day of its qualification."""
    for method, standing in unit.count_qualifications.items():
        if standing.verdict == "pass":
            yield device_of(method), f"Counting method {method}", standing.qualified_until
