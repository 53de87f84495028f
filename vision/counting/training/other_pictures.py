"""Pictures that no counting method is for, made by number: to train the gate on, and to test it.

Each family is a function of a generator and a size; what it draws (how many, how large, how bright) is
drawn too, so that one family covers a wide range. `FAMILIES` lists them by name.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Grey = npt.NDArray[np.float32]
Maker = Callable[[np.random.Generator, int, int], Picture]

PRINTED = (
    "CELLWRIGHT 4711 <LOT> EXP 2027-01",
    "The quick brown fox jumps",
    "=A9999 26 123456 00",
    "Batch: 0815  Bag 3/4",
    "File  Edit  View  Help",
    "{ return x + 1; }",
    "0123456789 ml 37 C",
)


def _bytes(values: npt.NDArray[np.floating]) -> Picture:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _blurred(values: Grey, sigma_px: float) -> Grey:
    if sigma_px <= 0.2:
        return values
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), np.float32)


def _noise(rng: np.random.Generator, height: int, width: int) -> Grey:
    return rng.standard_normal((height, width), np.float32)


def _grain(rng: np.random.Generator, values: Grey, most: float = 4.0) -> Picture:
    """Add a camera's grain, of a drawn strength in grey levels."""
    return _bytes(
        values
        + rng.uniform(0, most)
        * _noise(rng, *values.shape[:2]).reshape(values.shape[:2] + (1,) * (values.ndim - 2))
    )


def _pink(rng: np.random.Generator, height: int, width: int, slope: float) -> Grey:
    """Draw noise whose amplitude falls with frequency to the power `slope`; mean 0, spread 1."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    spectrum = np.fft.rfft2(_noise(rng, height, width)) / np.maximum(np.hypot(fy, fx), 1 / 512) ** slope
    values = np.fft.irfft2(spectrum, (height, width))
    return np.asarray((values - values.mean()) / max(1e-9, float(values.std())), np.float32)


def _grid(height: int, width: int) -> tuple[Grey, Grey]:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return rows, columns


def white_noise(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Noise of a drawn grain, far stronger than a camera's."""
    values = _blurred(_noise(rng, height, width), float(rng.choice([0, 0.5, 0.8, 1.2, 2, 3])))
    return _bytes(rng.uniform(60, 200) + rng.uniform(25, 90) * values / values.std())


def pink_noise(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Clouds: noise of all sizes."""
    values = _pink(rng, height, width, rng.uniform(0.5, 2.0))
    return _grain(rng, np.float32(rng.uniform(60, 200)) + np.float32(rng.uniform(20, 70)) * values)


def salt_and_pepper(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Black and white specks on grey, one to several pixels large."""
    side = int(rng.choice([1, 2, 3, 5, 8]))
    small = rng.random((-(-height // side), -(-width // side)))
    specks = np.kron(small, np.ones((side, side)))[:height, :width]
    share = rng.uniform(0.01, 0.4)
    values = np.full((height, width), rng.uniform(40, 220), np.float32)
    values[specks < share / 2], values[specks > 1 - share / 2] = 0, 255
    return _grain(rng, values)


def jpeg_blocks(rng: np.random.Generator, height: int, width: int) -> Picture:
    """What is left of clouds and lines after far too strong compression."""
    picture = pink_noise(rng, height, width) if rng.random() < 0.5 else stripes(rng, height, width)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(1, 12))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)


def _phase_of(rng: np.random.Generator, height: int, width: int, pitch_px: float) -> Grey:
    rows, columns = _grid(height, width)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.7 else 0.0
    along = np.cos(angle) * columns + np.sin(angle) * rows
    return np.asarray(2 * np.pi * along / pitch_px + rng.uniform(0, 7), np.float32)


def stripes(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Soft or hard stripes at any angle."""
    wave = np.sin(_phase_of(rng, height, width, rng.uniform(4, 60)))
    if rng.random() < 0.5:
        wave = np.sign(wave - rng.uniform(-0.8, 0.8))
    soft = _blurred(wave.astype(np.float32), rng.uniform(0, 2))
    return _grain(rng, rng.uniform(70, 190) + rng.uniform(15, 70) * soft)


def moire(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Two gratings over each other: rows of round spots among others."""
    pitch = rng.uniform(5, 40)
    one = np.sin(_phase_of(rng, height, width, pitch))
    other = np.sin(_phase_of(rng, height, width, pitch * rng.uniform(0.8, 1.2)))
    mixed = one * other if rng.random() < 0.5 else one + other
    return _grain(rng, rng.uniform(70, 190) + rng.uniform(15, 60) * mixed.astype(np.float32))


def gradients(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Steep ramps and a bright spot, nothing else."""
    rows, columns = _grid(height, width)
    ramp = rng.uniform(-1, 1) * rows / height + rng.uniform(-1, 1) * columns / width
    y, x, reach = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.1, 0.6) * min(height, width)
    spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * reach**2))
    values = 128 + 110 * ramp + rng.uniform(-100, 100) * spot
    return _grain(rng, values.astype(np.float32))


def checkers(rng: np.random.Generator, height: int, width: int) -> Picture:
    """A board of squares, perhaps turned and blurred."""
    pitch = rng.uniform(6, 80)
    one, other = _phase_of(rng, height, width, pitch), _phase_of(rng, height, width, pitch)
    board = np.sign(np.sin(one)) * np.sign(np.sin(other))
    soft = _blurred(board.astype(np.float32), rng.uniform(0, 2))
    return _grain(rng, rng.uniform(80, 180) + rng.uniform(20, 80) * soft)


def concentric_rings(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Rings around one or a few places."""
    rows, columns = _grid(height, width)
    values = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        far = np.hypot(rows - y, columns - x)
        wave = np.sin(2 * np.pi * far / rng.uniform(6, 40)) * np.exp(-far / rng.uniform(40, 400))
        values += wave.astype(np.float32)
    return _grain(rng, rng.uniform(80, 180) + rng.uniform(20, 80) * values)


def star_field(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Sharp points of many brightnesses on a dark sky; also printed as a negative."""
    values = np.zeros((height, width), np.float32)
    stars = int(height * width * rng.uniform(2e-4, 4e-3)) + 3
    values[rng.integers(0, height, stars), rng.integers(0, width, stars)] = rng.pareto(1.2, stars) * 40
    values = _blurred(values, rng.uniform(0.6, 2.0)) * 6
    values = np.minimum(values, np.float32(255)) * np.float32(rng.uniform(0.5, 1))
    return _grain(rng, values + rng.uniform(2, 30) if rng.random() < 0.6 else rng.uniform(180, 250) - values)


def bubbles(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Air bubbles: wide black rims around bright middles, of many sizes, over each other."""
    values = np.full((height, width), rng.uniform(90, 220), np.float32)
    for _ in range(max(1, int(height * width * rng.uniform(1, 12) * 1e-4 / 4))):
        radius = float(rng.uniform(10, 60))
        middle = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.circle(values, middle, round(radius), float(rng.uniform(0, 50)), -1, cv2.LINE_AA)
        inner = round(radius * rng.uniform(0.4, 0.85))
        cv2.circle(values, middle, inner, float(rng.uniform(120, 255)), -1, cv2.LINE_AA)
    return _grain(rng, _blurred(values, rng.uniform(0.5, 2)))


def hair(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Fibres across the field."""
    values = np.full((height, width), rng.uniform(80, 220), np.float32)
    for _ in range(int(rng.integers(4, 60))):
        start = rng.uniform(0, 1, 2) * (width, height)
        steps = np.cumsum(rng.normal(0, 1, (30, 2)), axis=0) * rng.uniform(2, 12)
        points = np.round(start + steps + np.outer(np.arange(30), rng.normal(0, 8, 2))).astype(np.int32)
        grey = float(rng.uniform(0, 255))
        cv2.polylines(values, [points], False, grey, int(rng.integers(1, 6)), cv2.LINE_AA)
    return _grain(rng, _blurred(values, rng.uniform(0, 1.5)))


def _write(rng: np.random.Generator, canvas: Picture, ink: int, size: float, lines: int) -> None:
    height, width = canvas.shape[:2]
    for _ in range(lines):
        place = (int(rng.integers(-20, max(1, width - 40))), int(rng.integers(8, height)))
        text = str(rng.choice(PRINTED))
        cv2.putText(canvas, text, place, int(rng.integers(0, 8)), size, (ink,) * 3, int(rng.integers(1, 3)))


def printed_text(rng: np.random.Generator, height: int, width: int) -> Picture:
    """A printed page, sharp or soft, dark on light or light on dark."""
    paper, ink = (int(rng.integers(150, 256)), int(rng.integers(0, 90)))
    if rng.random() < 0.25:
        paper, ink = ink, paper
    page = np.full((height, width), paper, np.uint8)
    size = rng.uniform(0.35, 1.6)
    step = max(9, int(26 * size * rng.uniform(0.8, 1.6)))
    for y in range(step, height + step, step):
        text = "  ".join(str(rng.choice(PRINTED)) for _ in range(1 + width // 200))
        cv2.putText(page, text, (int(rng.integers(-30, 20)), y), int(rng.integers(0, 4)), size, ink, 1)
    return _grain(rng, _blurred(page.astype(np.float32), rng.uniform(0, 2)), 8)


def bar_codes(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Bar codes and module squares on a label, turned and lit unevenly as on a photograph."""
    canvas = np.full((height, width), int(rng.integers(170, 256)), np.uint8)
    unit = int(rng.integers(2, 7))
    for _ in range(1 + height * width // 60_000):
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        rows, columns = (1, 60) if rng.random() < 0.5 else (16, 16)
        code = (rng.random((rows, columns)) < 0.5).astype(np.uint8)
        part = np.kron(code, np.ones((unit * (20 if rows == 1 else 1), unit), np.uint8))
        part = part[: height - y, : width - x]
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = np.where(part, 10, 245)
    _write(rng, canvas, 20, rng.uniform(0.4, 1.2), 3)
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), float(rng.uniform(-30, 30)), rng.uniform(0.7, 1.6)
    )
    turned = cv2.warpAffine(canvas, turn, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    rows_, columns_ = _grid(height, width)
    light = 1 + rng.uniform(-0.4, 0.4) * rows_ / height + rng.uniform(-0.4, 0.4) * columns_ / width
    values = _blurred(turned, rng.uniform(0.3, 2)) * light * rng.uniform(0.4, 1)
    return _grain(rng, values.astype(np.float32), 8)


def screenshot(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Windows, buttons and text of a screen, in colour or grey."""
    canvas = np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(int(rng.integers(4, 30))):
        x, y = int(rng.integers(-20, width)), int(rng.integers(-20, height))
        corner = (x + int(rng.integers(8, width)), y + int(rng.integers(6, 20 + height // 3)))
        colour = [
            int(v) for v in (rng.integers(0, 256, 3) if rng.random() < 0.5 else [rng.integers(0, 256)] * 3)
        ]
        cv2.rectangle(canvas, (x, y), corner, colour, -1 if rng.random() < 0.6 else 1)
        if rng.random() < 0.3:
            cv2.circle(canvas, (x, y), int(rng.integers(3, 16)), colour, -1, cv2.LINE_AA)
    _write(rng, canvas, int(rng.integers(0, 256)), rng.uniform(0.35, 0.8), int(rng.integers(3, 20)))
    return canvas


def bricks(rng: np.random.Generator, height: int, width: int) -> Picture:
    """A wall: rows of rough blocks with joints."""
    rows, columns = _grid(height, width)
    tall, wide, joint = rng.uniform(15, 70), rng.uniform(30, 160), rng.uniform(1, 6)
    shift = np.where((rows // tall) % 2 == 0, 0, wide / 2)
    is_joint = (rows % tall < joint) | ((columns + shift) % wide < joint)
    rough = _pink(rng, height, width, rng.uniform(0.6, 1.3))
    values = rng.uniform(80, 160) + rng.uniform(5, 25) * rough + np.where(is_joint, rng.uniform(-60, 60), 0)
    return _grain(rng, values.astype(np.float32))


def rubble(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Gravel, foam, tissue: a plane filled with rounded grains."""
    count = max(12, int(height * width / rng.uniform(12, 60) ** 2))
    points = rng.uniform(0, 1, (count, 2)) * (width, height)
    markers = np.zeros((height, width), np.uint8)
    markers[points[:, 1].astype(int), points[:, 0].astype(int)] = 1
    distance = cv2.distanceTransform(1 - markers, cv2.DIST_L2, 5)
    edge = distance / max(1.0, float(np.percentile(distance, 95)))
    dome = rng.choice([-1, 1]) * rng.uniform(30, 110) * edge
    rough = rng.uniform(0, 18) * _pink(rng, height, width, 1.0)
    return _grain(rng, (rng.uniform(90, 180) + dome + rough).astype(np.float32))


def grass(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Thousands of strokes over each other."""
    values = np.full((height, width), 60, np.uint8)
    lean, spread = rng.uniform(0, np.pi), rng.uniform(0.1, 1.5)
    for _ in range(int(height * width * rng.uniform(0.004, 0.02))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        angle, length = rng.normal(lean, spread), rng.uniform(5, 40)
        tip = (int(x + length * np.cos(angle)), int(y + length * np.sin(angle)))
        cv2.line(values, (x, y), tip, int(rng.integers(20, 230)), int(rng.integers(1, 3)), cv2.LINE_AA)
    return _grain(rng, _blurred(values.astype(np.float32), rng.uniform(0, 1.5)))


def scene(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Something like a photograph: shaded shapes before one another with rough surfaces, often coloured."""
    colour = rng.random() < 0.5
    base = rng.uniform(60, 200) + 30 * _pink(rng, height, width, rng.uniform(1, 1.8))
    canvas = np.repeat(base[..., None], 3, axis=2).astype(np.float32)
    rough = _pink(rng, height, width, rng.uniform(0.6, 1.2))
    for _ in range(int(rng.integers(5, 40))):
        mask = np.zeros((height, width), np.uint8)
        middle = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = [int(v) for v in rng.uniform(0.02, 0.35, 2) * max(height, width) + 2]
        if rng.random() < 0.5:
            cv2.ellipse(mask, middle, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        else:
            points = np.asarray(middle) + np.round(rng.normal(0, 1, (5, 2)) * axes).astype(np.int32)
            cv2.fillPoly(mask, [points.astype(np.int32)], 1)
        paint = rng.uniform(10, 245, 3) if colour else np.full(3, rng.uniform(10, 245))
        shade = rng.uniform(0, 25) * rough + rng.uniform(-0.2, 0.2) * _grid(height, width)[0]
        canvas = np.where(mask[..., None] > 0, (paint + shade[..., None]).astype(np.float32), canvas)
    canvas = _blurred(canvas, rng.uniform(0.4, 1.5))
    return _grain(rng, canvas if colour else canvas[..., 0])


def _smear_cell(canvas: Grey, alpha_of: Grey, colour: npt.NDArray[np.float64]) -> Grey:
    return np.asarray(canvas * (1 - alpha_of[..., None]) + colour * alpha_of[..., None], np.float32)


def blood_smear(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Red cells, pink discs with pale middles, packed or sparse, some leucocytes; in colour or grey."""
    rows, columns = _grid(height, width)
    diameter = float(rng.uniform(14, 100))
    ground = np.array([rng.uniform(190, 245), rng.uniform(180, 235), rng.uniform(185, 240)])
    red = ground * (rng.uniform(0.75, 0.95), rng.uniform(0.5, 0.8), rng.uniform(0.55, 0.85))
    violet = np.array([rng.uniform(70, 150), rng.uniform(30, 90), rng.uniform(110, 170)])
    canvas = np.broadcast_to(ground, (height, width, 3)).astype(np.float32)
    pale, rim = rng.uniform(0.0, 0.9), rng.uniform(0, 0.35)
    count = int(rng.uniform(0.08, 1.1) * height * width / diameter**2) + 2
    for _ in range(min(count, 500)):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), diameter / 2 * rng.normal(1, 0.07)
        box = np.s_[
            max(0, int(y - radius - 3)) : int(y + radius + 4),
            max(0, int(x - radius - 3)) : int(x + radius + 4),
        ]
        squash, turn = rng.uniform(1, 1.25), rng.uniform(0, np.pi)
        dy, dx = rows[box] - y, columns[box] - x
        far = (
            np.hypot(dx * np.cos(turn) + dy * np.sin(turn), squash * (dy * np.cos(turn) - dx * np.sin(turn)))
            / radius
        )
        body = np.clip((1 - far) * radius / 1.5, 0, 1)
        depth = body * (1 - pale * np.exp(-((far / 0.45) ** 2)) + rim * np.exp(-(((far - 0.92) / 0.08) ** 2)))
        canvas[box] = _smear_cell(canvas[box], np.clip(depth, 0, 1), red)
    for _ in range(int(rng.integers(0, 2 + height * width // 60_000))):
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        for _ in range(int(rng.integers(1, 5))):
            oy, ox = y + rng.normal(0, diameter / 4), x + rng.normal(0, diameter / 4)
            far = np.hypot(rows - oy, columns - ox) / (diameter * rng.uniform(0.3, 0.6))
            canvas = _smear_cell(canvas, np.clip((1 - far) * 8, 0, 1), violet)
    canvas = _blurred(canvas, rng.uniform(0.5, 2.2))
    grey = rng.random() < 0.5
    return _grain(rng, canvas @ np.array([0.299, 0.587, 0.114], np.float32) if grey else canvas)


def tissue(rng: np.random.Generator, height: int, width: int) -> Picture:
    """A stained section: dark nuclei in pink or brown fibres, no empty ground; in colour or grey."""
    texture = _pink(rng, height, width, rng.uniform(0.8, 1.6))
    ground = np.array([rng.uniform(180, 230), rng.uniform(120, 180), rng.uniform(150, 210)])
    canvas = (ground + rng.uniform(10, 35) * texture[..., None] * (0.6, 1.0, 0.7)).astype(np.float32)
    nuclei = np.zeros((height, width), np.float32)
    size = rng.uniform(4, 16)
    for _ in range(int(height * width * rng.uniform(0.1, 0.5) / size**2 / 4)):
        middle = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(size * rng.uniform(0.6, 1.2)), int(size * rng.uniform(0.5, 1)) + 1)
        cv2.ellipse(
            nuclei, middle, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.4, 0.9)), -1
        )
    nuclei = _blurred(nuclei, rng.uniform(0.6, 1.6))
    stain = np.array([rng.uniform(60, 130), rng.uniform(40, 100), rng.uniform(90, 160)])
    canvas = _smear_cell(canvas, nuclei, stain)
    grey = rng.random() < 0.5
    return _grain(rng, canvas @ np.array([0.299, 0.587, 0.114], np.float32) if grey else canvas)


def phase_contrast(rng: np.random.Generator, height: int, width: int) -> Picture:
    """An adherent culture in phase contrast: long ragged dark bodies in bright halos, near one another."""
    bodies = np.zeros((height, width), np.float32)
    size = rng.uniform(8, 40)
    cover = rng.uniform(0.1, 0.9)
    for _ in range(int(height * width * cover / size**2 / 2) + 2):
        middle = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        turn, longer = rng.uniform(0, np.pi), rng.uniform(1, 4)
        around = np.sort(rng.uniform(0, 2 * np.pi, 12))
        far = size / 2 * rng.uniform(0.5, 1.3, 12)
        x, y = far * longer * np.cos(around), far / np.sqrt(longer) * np.sin(around)
        points = middle + np.stack(
            [x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1
        )
        cv2.fillPoly(bodies, [np.round(points).astype(np.int32)], float(rng.uniform(0.4, 1)))
    bodies = _blurred(bodies, rng.uniform(0.7, 2))
    halo = _blurred(bodies, rng.uniform(3, 8)) - bodies
    rough = bodies * _pink(rng, height, width, 0.8)
    level, strength = rng.uniform(80, 170), rng.uniform(40, 160)
    values = (
        level
        + strength * halo
        + rng.uniform(0, 25) * rough
        + rng.uniform(0, 12) * _pink(rng, height, width, 1.3)
    )
    return _grain(rng, values.astype(np.float32))


def droplets(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Dots, beads or coins: equal flat discs, alone or in rows, darker or brighter than an even ground."""
    radius = float(rng.uniform(4, 45))
    ground, disc = rng.uniform(20, 250), rng.uniform(0, 255)
    canvas = np.full((height, width), ground, np.float32)
    pitch = radius * rng.uniform(2.1, 5)
    ordered = rng.random() < 0.5
    places = [
        (x + (0 if ordered else rng.normal(0, pitch / 3)), y + (0 if ordered else rng.normal(0, pitch / 3)))
        for y in np.arange(rng.uniform(0, pitch), height, pitch)
        for x in np.arange(rng.uniform(0, pitch), width, pitch)
    ]
    for x, y in places:
        size = max(1, round(radius * (1 if ordered else rng.uniform(0.6, 1.4))))
        cv2.circle(
            canvas, (round(x), round(y)), size, float(disc), -1 if rng.random() < 0.9 else 2, cv2.LINE_AA
        )
    return _grain(rng, _blurred(canvas, rng.uniform(0, 1.5)))


def fluorescence(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Bright soft-edged nuclei on black, with shot noise."""
    diameter = float(rng.uniform(8, 60))
    canvas = np.zeros((height, width), np.float32)
    for _ in range(int(rng.uniform(0.03, 0.5) * height * width / diameter**2) + 1):
        middle = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(diameter / 2 * rng.uniform(0.8, 1.3)) + 1, int(diameter / 2 * rng.uniform(0.6, 1)) + 1)
        body = np.zeros_like(canvas)
        cv2.ellipse(body, middle, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.3, 1)), -1)
        canvas = np.maximum(canvas, body)
    rough = 1 + rng.uniform(0, 0.25) * _pink(rng, height, width, 1.0)
    canvas = _blurred(canvas, rng.uniform(0.6, 2.5)) * rough
    signal = rng.uniform(2, 20) + rng.uniform(30, 230) * canvas + rng.uniform(0, 15) * _blurred(canvas, 20)
    gain = rng.uniform(0.05, 1.5)
    return _bytes(signal + np.sqrt(np.maximum(signal, 0) * gain) * _noise(rng, height, width))


def inverted_fluorescence(rng: np.random.Generator, height: int, width: int) -> Picture:
    """A fluorescence picture printed as a negative: dark nuclei on a bright even ground."""
    return np.asarray(rng.integers(200, 256) - np.minimum(fluorescence(rng, height, width), 200), np.uint8)


FAMILIES: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        white_noise,
        pink_noise,
        salt_and_pepper,
        jpeg_blocks,
        stripes,
        moire,
        gradients,
        checkers,
        concentric_rings,
        star_field,
        bubbles,
        hair,
        printed_text,
        bar_codes,
        screenshot,
        bricks,
        rubble,
        grass,
        scene,
        blood_smear,
        tissue,
        phase_contrast,
        droplets,
        inverted_fluorescence,
    )
}
