"""A recipe that selects cells on a device without a public protocol, and what is said of that device."""

from __future__ import annotations

SERIAL, OTHER_SERIAL = "SIM-CP-0001", "SIM-CP-0002"
PROGRAMME = "SELECT-CD34"

SELECT = """
[phase.select]
title = "Select CD34 cells"
type = "operator_device"
operation = "all"
after = ["bag"]
verify = ["result"]
uses = { cell_processor = "20..200 mL" }
[phase.select.instruction]
setup = "Mount the set and the bag. Start the programme."
result = "The run has ended. Compare the display."
[phase.select.text]
device = "Cell processor"
programme = "SELECT-CD34"
scan_serial_number = "yes"
photo = "yes"
exchange_file = "yes"
[phase.select.parameter]
time_expected = "3 h"
time_min = "1 h"
[phase.select.result.cells_in]
label = "Cells in"
unit = "million cells"
minimum = "1"
maximum = "100000"
decimals = 1
[phase.select.result.cells_out]
label = "Cells out"
unit = "million cells"
minimum = "0"
maximum = "100000"
decimals = 1
[phase.select.result.purity_in_percent]
label = "Purity in"
unit = "%"
minimum = "0"
maximum = "100"
decimals = 1
[phase.select.result.purity_out_percent]
label = "Purity out"
unit = "%"
minimum = "0"
maximum = "100"
decimals = 1
[phase.select.result.recovery]
label = "Recovery"
unit = "%"
minimum = "0"
maximum = "110"
decimals = 1
[phase.select.limit]
recovery = { alert = ">= 40 %", action = ">= 30 %", on_action = "deviation" }
purity_out_percent = { alert = ">= 90 %", action = ">= 80 %", on_action = "hold" }
"""

RECIPE = (
    """
[recipe]
id = "short"
version = "1"
title = "Select cells"
[procedure]
title = "Select cells"
[unit_procedure.all]
title = "All"
[operation.all]
title = "All"
unit_procedure = "all"
[phase.clear]
title = "Clear the line"
type = "line_clearance"
operation = "all"
verify = ["clear"]
instruction = { clear = "Look at the whole station." }
[phase.bag]
title = "Receive the bag"
type = "scan_bag"
operation = "all"
after = ["clear"]
verify = ["identity"]
instruction = { retrieve = "Take the bag out.", identity = "Both carry the same number." }
limit = { out_of_cold = { action = "<= 50 min", on_action = "deviation" } }
"""
    + SELECT
    + """
[phase.seal]
title = "Sign and seal"
type = "seal"
operation = "all"
after = ["select"]
[phase.hand_over]
title = "Hand over"
type = "hand_over"
operation = "all"
after = ["seal"]
instruction = { sign = "Give the dose to the ward." }
"""
)

UNIT_DEVICE = f"""
[[device]]
id = "sorter"
title = "Cell processor"
role = "cell_processor"
type = "operator-confirmed"
maker = "Example"
model = "CP-1"
serial_number = "{SERIAL}"
calibrated_until = "2026-12-31"
"""


def asking(**choices: str) -> str:
    """The recipe with some of its choices changed: `photo="no"`."""
    text = RECIPE
    for key, value in choices.items():
        assert f'{key} = "yes"' in text, key
        text = text.replace(f'{key} = "yes"', f'{key} = "{value}"')
    return text
