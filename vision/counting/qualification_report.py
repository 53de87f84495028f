"""One page that shows a method's qualification: verdict, figures, limits, plots. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from vision.counting.qualification import CONFIDENCE_PERCENT, SEED, Level, Limits, Qualification
from vision.counting.qualification_plots import deviation_plot, fit_plot, variation_plot

LIMIT_SOURCES = {
    "cv_percent_max": "Gunetti et al., J. Transl. Med. 10:112, 2012 (GMP validation of a chamber: CV < 10 %)",
    "r2_min": "chosen here; ISO 20391-2 sets no limit",
    "deviation_percent_max": "chosen here: no larger than the variation that is accepted",
    "pi_squared_max": "set by the site",
}
STYLE = """
body { font: 13px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1c1c1c; background: #fff;
  max-width: 70rem; margin: 1.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; font-weight: 600; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; font-weight: 600; margin: 1.4rem 0 .3rem; border-bottom: 1px solid #bbb; }
table { border-collapse: collapse; margin: .4rem 0 .8rem; }
th, td { text-align: left; vertical-align: top; padding: .18rem 1.1rem .18rem 0;
  border-bottom: 1px solid #e2e2e2; }
th { font-weight: 600; color: #555; }
td:nth-child(2), td:nth-child(3), td:nth-child(4) { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .05rem 1.2rem; margin: .5rem 0; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
figure { display: inline-block; margin: .3rem .4rem .3rem 0; vertical-align: top; }
figcaption { color: #555; font-size: .9em; max-width: 21rem; }
.verdict { font-size: 1.1rem; font-weight: 600; margin: .5rem 0; }
.fail { border-left: 4px solid #b45309; padding-left: .6rem; }
.pass { border-left: 4px solid #888; padding-left: .6rem; }
.banner { border: 3px double #1c1c1c; padding: .4rem 1rem; font-weight: 700; text-align: center; }
.quiet { color: #666; }
@media print { body { margin: 0; max-width: none; padding: 0; font-size: 9.5px; }
  section { break-inside: avoid; } figure svg { width: 15rem; height: auto; } }
"""


def page(
    found: Sequence[Qualification], *, about: Mapping[str, str], fictitious: bool = False, title: str = ""
) -> str:
    """The whole page.

    Parameters
    ----------
    about
        What stands at the head, by its name: file, method, days.
    fictitious
        A banner says that nothing of it was measured.
    """
    title = title or "Qualification of a counting method"
    banner = '<p class="banner">FICTITIOUS: made up for demonstration, nothing was measured</p>'
    return "".join(
        [
            "<!doctype html>\n",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ',
            "style-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
            banner if fictitious else "",
            f"<h1>{escape(title)}</h1>",
            '<p class="quiet">Quality indicators of ISO 20391-2:2019 from a dilution series. They tell how ',
            "well a method repeats itself and follows the dilution; not that its values are true.</p>",
            _facts(about),
            *(_section(one, number) for number, one in enumerate(found, 1)),
            "</body></html>\n",
        ]
    )


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"<dl>{rows}</dl>"


def _section(found: Qualification, number: int) -> str:
    words = "PASS" if found.passed else "FAIL"
    reasons = [*found.design_gaps, *found.failures]
    said = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in found.remarks)
    return "".join(
        [
            f"<section><h2>{escape(found.series.name or 'Method')}</h2>",
            f'<p class="verdict {found.verdict}">{words}: ',
            "the design is complete and every limit is met.</p>"
            if found.passed
            else f"not qualified.</p><ul>{said}</ul>",
            _indicators(found),
            _plots(found, number),
            _levels(found.levels),
            f'<ul class="quiet">{remarks}</ul>' if remarks else "",
            f'<p class="quiet">Intervals: {CONFIDENCE_PERCENT:g} %, from {found.rounds} bootstrap rounds '
            f"(seed {SEED}; samples within each dilution, then looks within each sample); resampled, R² is "
            "lower and the index higher. Proportional fit: weights n/x; flexible fit: polynomial of order "
            f"{len(found.levels) - 1}, weights 1/x.</p></section>",
        ]
    )


def _indicators(found: Qualification) -> str:
    of, limits = found.indicators, found.limits
    pi_limit = "–" if limits.pi_squared_max is None else f"≤ {limits.pi_squared_max:g}"  # noqa: RUF001
    pi_source = "–" if limits.pi_squared_max is None else LIMIT_SOURCES["pi_squared_max"]  # noqa: RUF001
    none = "–"  # noqa: RUF001
    rows = [
        ("Stock, by the proportional fit", "slope_cells_ml", "{:.3e} cells/mL", none, none),
        (
            "CV of the replicates, mean",
            "cv_percent",
            "{:.2f} %",
            f"each dilution < {limits.cv_percent_max:g} %",
            LIMIT_SOURCES["cv_percent_max"],
        ),
        ("R² of the proportional fit", "r2", "{:.5f}", f"≥ {limits.r2_min:g}", LIMIT_SOURCES["r2_min"]),
        ("Proportionality index, squared", "pi_squared", "{:.4f}", pi_limit, pi_source),
        ("Proportionality index, absolute", "pi_absolute", "{:.4f}", none, none),
        (
            "Mean distance from proportionality",
            "deviation_percent",
            "{:.2f} %",
            f"≤ {limits.deviation_percent_max:g} %",
            LIMIT_SOURCES["deviation_percent_max"],
        ),
    ]
    body = ""
    for words, name, form, limit, source in rows:
        value, ends = getattr(of, name), found.intervals.get(name)
        shown = none if value is None else form.format(value)
        between = none if ends is None else " to ".join(form.format(end).split(" ")[0] for end in ends)
        body += "<tr>" + "".join(
            f"<td>{escape(cell)}</td>" for cell in (words, shown, between, limit, source)
        )
        body += "</tr>"
    heads = (
        "Indicator",
        "Value",
        f"{CONFIDENCE_PERCENT:g} % interval",
        "Limit",
        "Where the limit comes from",
    )
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"


def _plots(found: Qualification, number: int) -> str:
    drawings = (
        (
            fit_plot(found, f"fit-{number}"),
            "Cells/mL: samples (full) and single looks (open); proportional fit with its interval; flexible "
            "fit (dashed)",
        ),
        (
            deviation_plot(found, f"apart-{number}"),
            "Distance from proportionality, %: samples and the flexible fit (dashed); limit dotted",
        ),
        (
            variation_plot(found, f"cv-{number}"),
            "CV of the replicates, %; limit dotted, bars above it open",
        ),
    )
    return "".join(
        f"<figure>{drawing}<figcaption>{escape(words)}</figcaption></figure>" for drawing, words in drawings
    )


def _levels(levels: Sequence[Level]) -> str:
    heads = (
        "Dilution", "measured, mean", "samples", "looks", "cells/mL", "CV of looks, %", "CV of samples, %",
        "off the line, %", "viability, %",
    )  # fmt: skip

    def shown(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)  # noqa: RUF001

    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{cell}</td>"
            for cell in (
                f"{one.target:g}",
                f"{one.fraction:.4g}",
                str(one.samples),
                str(one.observations),
                f"{one.concentration_cells_ml:.3e}",
                shown(one.cv_percent, ".2f"),
                shown(one.cv_samples_percent, ".2f"),
                f"{one.residual_percent:+.2f}",
                shown(one.viability_percent, ".1f"),
            )
        )
        + "</tr>"
        for one in levels
    )
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{rows}</table>"


def limits_in_words(limits: Limits) -> str:
    """The limits in one line."""
    words = (
        f"CV < {limits.cv_percent_max:g} % at each dilution, R² ≥ {limits.r2_min:g}, "
        f"distance from proportionality ≤ {limits.deviation_percent_max:g} %"
    )
    return words if limits.pi_squared_max is None else f"{words}, PI ≤ {limits.pi_squared_max:g}"
