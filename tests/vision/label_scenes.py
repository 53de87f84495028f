"""Pictures for the label tests: drawn symbols and labels, turned, spoilt, or put on one another."""

from functools import cache

import cv2
import numpy as np
import zxingcpp

from vision.labels.label_picture import draw_label
from vision.labels.locate import Gray

DIN = "=A99992600000168"
OTHER_DIN = "=A99992600000266"
PRODUCT = "=<S1295100"
COMPOUND = "=+03000=A99992600000168=<S1295100=(2001202611211405"
COI = "&/CHA999926000001"

BAG = {
    "din_text": DIN,
    "product_text": PRODUCT,
    "compound_text": COMPOUND,
    "din_readable": "A9999 26 000001  68  [8]",
    "product_readable": "S1295100",
    "expiry_readable": "2026-11-21 15:05 +01:00 (14:05 UTC)",
}
DOSE = BAG | {
    "patient_readable": "P-4711",
    "division_readable": "00",
    "volume_readable": "30.0 mL",
    "storage_readable": "2 to 8 °C",
}
IN_PROCESS = {
    "din_text": DIN,
    "compound_text": f"=+03000{DIN}{PRODUCT}{COI}",
    "din_readable": "A9999 26 000001 68",
    "din_check": "8",
    "product_readable": "Washed autologous cells",
    "stage_readable": "Washed, before dosing",
    "patient_readable": "P-4711",
    "batch_readable": "UNIT-1-00001",
    "made_readable": "21 Nov 2026 15:05 +01:00 Europe/Berlin",
    "coi_readable": "CHA999926000001",
    "autologous_statement": "FOR AUTOLOGOUS USE ONLY",
}
TUBE_DIN = "=A99992600000107"
SAMPLE = {
    "din_text": TUBE_DIN,
    "compound_text": f"=+02000{TUBE_DIN}{COI}",
    "din_readable": "A9999 26 000001 07",
    "din_check": "8",
    "sample_readable": "UNIT-1-00001-S1",
    "test_readable": "Cell count",
    "taken_readable": "21 Nov 2026 15:05 +01:00",
    "patient_readable": "P-4711",
}
PRINT_TEST = {
    "linear_text": "PT PRINTER-1 2611211405",
    "head_text": "PT PRINTER-1 2611211405 H",
    "foot_text": "PT PRINTER-1 2611211405 F",
    "printer_readable": "printer-1, 300 dots an inch",
    "printed_readable": "21 Nov 2026 15:05 +01:00 Europe/Berlin",
}
WRISTBAND = {
    "order_readable": "O-2026-1",
    "patient_readable": "P-4711",
    "coi_readable": "CHA999926000001",
    "coi_text": COI,
}
MATERIAL = {
    "name_readable": "Saline 0.9 percent",
    "catalogue_readable": "XX 27QzE",
    "lot_readable": "L77",
    "expiry_readable": "2027-02-01",
    "compound_text": "=+03000=-XX00027QzE&-0000000L77=>027032",
}
BADGE = {"name_readable": "Operator One", "staff_readable": "A9999000123", "staff_text": "='A9999000123"}
ALL_TEMPLATES = {
    "bag": BAG,
    "dose": DOSE,
    "wristband": WRISTBAND,
    "order": WRISTBAND,
    "material": MATERIAL,
    "badge": BADGE,
    "in_process": IN_PROCESS,
    "sample": SAMPLE,
    "print_test": PRINT_TEST,
}


@cache
def bars(text: str, module_px: int = 3, height_px: int = 90) -> Gray:
    """A Code 128 alone on white, with its quiet zones."""
    image = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.Code128).to_image(scale=module_px)
    return np.repeat(np.asarray(image, dtype=np.uint8)[:1], height_px, axis=0)


@cache
def matrix(text: str, module_px: int = 5) -> Gray:
    """A DataMatrix alone on white, with a quiet zone."""
    image = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    return np.asarray(image.to_image(scale=module_px), dtype=np.uint8)


def on_paper(symbol: Gray, width: int = 760, height: int = 760) -> Gray:
    """Put a symbol in the middle of a light grey sheet."""
    sheet = np.full((height, width), 225, dtype=np.uint8)
    top, left = (height - symbol.shape[0]) // 2, (width - symbol.shape[1]) // 2
    sheet[top : top + symbol.shape[0], left : left + symbol.shape[1]] = symbol
    return sheet


def turned(gray: Gray, angle_deg: float, blur_px: float = 0.6) -> Gray:
    """Turn a picture in its own frame, slightly out of focus as any camera is."""
    height, width = gray.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    image = cv2.warpAffine(gray, turn, (width, height), borderValue=225)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), blur_px), dtype=np.uint8)


@cache
def label(template: str) -> Gray:
    """A drawn label on a sheet large enough to turn it."""
    data = np.frombuffer(draw_label(template, ALL_TEMPLATES[template]).png, dtype=np.uint8)
    drawn = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    side = int(np.hypot(*drawn.shape)) + 40
    return on_paper(drawn, side, side)
