"""One file a phase type: what it asks of people and devices, and when it is complete."""

from __future__ import annotations

from appliance.domain.phase_logic import Logic
from appliance.domain.phases.count_cells import CountCells
from appliance.domain.phases.enter_results import EnterResults
from appliance.domain.phases.hand_over import HandOver
from appliance.domain.phases.line_clearance import LineClearance
from appliance.domain.phases.operator_device import OperatorDevice
from appliance.domain.phases.print_label import PrintLabel
from appliance.domain.phases.print_other_labels import PrintInProcessLabel, PrintSampleLabel
from appliance.domain.phases.sample import Sample
from appliance.domain.phases.scan_bag import ScanBag
from appliance.domain.phases.scan_material import ScanMaterial
from appliance.domain.phases.seal import Seal
from appliance.domain.phases.set_temperature import SetTemperature
from appliance.domain.phases.thaw import Thaw
from appliance.domain.phases.transfer import Transfer

LOGIC: dict[str, Logic] = {
    logic.TYPE: logic
    for logic in (
        CountCells(),
        EnterResults(),
        HandOver(),
        LineClearance(),
        OperatorDevice(),
        PrintInProcessLabel(),
        PrintLabel(),
        PrintSampleLabel(),
        Sample(),
        ScanBag(),
        ScanMaterial(),
        Seal(),
        SetTemperature(),
        Thaw(),
        Transfer(),
    )
}
