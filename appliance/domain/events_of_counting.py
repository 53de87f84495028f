"""The event of a counting method's fitness: its qualification by a dilution series (ISO 20391-2).

It is a fact of the unit and says nothing of a product, so it changes no sealed record.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CountMethodQualified(Event):
    """Two persons judged one version of a counting method at this unit's microscope, well or not.

    The newest one of a method holds: one whose verdict is `fail` ends what was before.
    """

    method: str
    version: str
    hash: str  # SHA-256 over its code and weights, as the counting program told it
    station: dict[str, str]  # what the series was measured with, as far as the appliance file names it
    series: str  # counting_method of the file
    design_blob: str  # the dilution series as it was given
    report_blob: str  # the page with figures and plots
    figures: dict[str, str]
    limits: dict[str, str]
    verdict: str  # pass fail
    words: list[str]  # why it failed, and what a reader should know
    performed_on: str  # the day on which the series was measured
    qualified_until: str  # its last day
    fictitious: bool  # made up for a simulated unit: no real batch rests on it
    reason: str
    first_person: str
    second_person: str
