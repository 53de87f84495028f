"""Grey themes: grey is normal, colour means act. Alarm colours are used for nothing else."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

# The tick after a label was read: the one green there is, white on it 6.5.
TICK_FILL: Final = {"tick-ground": "#1e6b3a", "tick-ink": "#ffffff"}
# Fills of the three alarm priorities with the text that is legible on each (contrast 6.5, 11.6, 9.0).
# They are the same by day and night: no grey parts all three from itself by 3:1, so an alarm
# also has a heavy frame, a marker, words and a fixed place.
ALARM_FILLS: Final = {
    "alarm-high": "#c00000",
    "alarm-high-text": "#ffffff",
    "alarm-medium": "#f0c800",
    "alarm-medium-text": "#14161a",
    "alarm-low": "#35c4d8",
    "alarm-low-text": "#14161a",
}


def _grey(
    name: str, *, dark: bool, ground: str, card: str, ink: str, quiet: str, key: str, act: str
) -> Theme:
    """Build a theme in which Textual's own coloured variants are grey too."""
    return Theme(
        name=name,
        primary=act,
        secondary=act,
        accent=act,
        warning=act,
        error=act,
        success=act,
        foreground=ink,
        background=ground,
        surface=card,
        panel=card,
        dark=dark,
        variables={
            **ALARM_FILLS,
            **TICK_FILL,
            "ground": ground,
            "card": card,
            "ink": ink,
            "quiet": quiet,
            "key": key,
            "act": act,
            "act-text": ground,
            "stop-ground": "#ffffff",
            "stop-ink": "#000000",
        },
    )


WARD_DAY: Final = _grey(
    "ward-day",
    dark=False,
    ground="#c8ccce",
    card="#d8dcde",
    ink="#1c1f21",
    quiet="#4a5156",
    key="#eceeef",
    act="#2b3136",
)
WARD_NIGHT: Final = _grey(
    "ward-night",
    dark=True,
    ground="#24282b",
    card="#2e3337",
    ink="#e6e8ea",
    quiet="#a3abb1",
    key="#3f464b",
    act="#d5d9dc",
)
