"""What hands do at a label printer: load it, open it, press its keys, cut its power."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from drivers.simulated.twin import Twin
from drivers.simulated.world import ActImpossible
from drivers.simulated.zebra_zpl import STOCK_LABELS, ZebraTwin


def at_printer(twin: Twin, act: Mapping[str, Any]) -> None:
    """Do one thing at a printer.

    Raises
    ------
    ActImpossible
        It is no printer, or nobody can do that to one.
    """
    if not isinstance(twin, ZebraTwin):
        raise ActImpossible("this device is no printer")
    labels = _count(act, "labels", STOCK_LABELS)
    verbs: dict[str, Callable[[], None]] = {
        "load": lambda: twin.load(max(1, labels)),
        "leave": lambda: twin.leave(labels),
        "paper_out": twin.take_paper_out,
        "ribbon_out": lambda: twin.ribbon_out(True),
        "load_ribbon": lambda: twin.ribbon_out(False),
        "open_head": twin.open_head,
        "close_head": twin.close_head,
        "pause": twin.press_pause,
        "feed": twin.feed,
        "dead_dots": lambda: twin.break_dots(_count(act, "dots", 1), _count(act, "seed", 0)),
        "switch_off": twin.switch_off,
        "switch_on": lambda: twin.switch_on(time.monotonic()),
    }
    verb = verbs.get(str(act.get("act")))
    if verb is None:
        raise ActImpossible(f"at a printer hands know {', '.join(verbs)}, not {act.get('act')!r}")
    verb()


def _count(act: Mapping[str, Any], name: str, usual: int) -> int:
    value = act.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9999:
        raise ActImpossible(f"{name} is a whole number from 0 to 9999")
    return value
