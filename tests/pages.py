"""Drawn pages, and how often the CAPTCHA in them is found and read: a screenshot of a web page, or before a camera.

    python tests/pages.py --count 100 --seed 1

For each kind of page it prints the shares where the CAPTCHA is among the proposed boxes and where it is the one chosen
(IoU of at least 0.5 with the CAPTCHA's picture or with its line of text), the shares of texts read right on the page,
in the CAPTCHA's true box cut out of it, and on the page read as one line; and the median CPU times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from unittest.mock import patch

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from crnn import effects
from crnn.fonts import Font, _probe
from crnn.locate import iou, locate
from crnn.metrics import exact
from crnn.recognizer import Recognizer
from crnn.synth import draw, random_text

SIZES = ((640, 480), (800, 600), (1024, 768), (1280, 720), (1366, 768), (1920, 1080))  # width, height
WORDS = (
    "Sign in to your account|Create an account|Please enter the characters you see|Security check|Type the text below"
    "|Email address|Password|Remember me|Forgot your password?|Privacy policy|Contact|Send|Submit|I can't read this"
    "|News and weather|Home   Products   Support|Your session ends in 10 minutes|All fields are required|Cancel"
).split("|")

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in px


@dataclass(frozen=True, eq=False)
class Page:
    """A picture (H, W, 3) uint8 with one CAPTCHA in it, the CAPTCHA's text, its box, and its line of text's box."""

    picture: np.ndarray
    text: str
    box: Box
    line: Box


def pip_fonts() -> tuple[Font, ...]:
    """The fonts that every machine has: finding the system's can take minutes."""
    packages = [entry.load() for group in ("fonts_ttf", "fonts_otf") for entry in entry_points(group=group)]
    paths = sorted(str(path) for package in packages for path in package.values())
    return tuple(found[0] for path in paths if (found := _probe(path)))


def screenshot(rng: Generator, fonts: tuple[Font, ...]) -> Page:
    """A form on a web page: headings, labels, fields and buttons, and the CAPTCHA 40 to 200 px high."""
    width, height = SIZES[rng.integers(len(SIZES))]
    paper = rng.integers(225, 256, 3) if rng.random() < 0.85 else rng.integers(10, 60, 3)
    ink = tuple(int(level) for level in np.where(paper > 128, rng.integers(0, 110, 3), rng.integers(170, 256, 3)))
    line = tuple(int(level) for level in (paper.astype(int) * 3 + ink) // 4)
    canvas = Image.new("RGB", (width, height), tuple(int(level) for level in paper))
    pen = ImageDraw.Draw(canvas)
    face = fonts[rng.integers(len(fonts))].path
    size = float(rng.uniform(12, 20))
    captcha, text, glyphs = _captcha(rng, fonts, min(200, height // 3), width // 2)
    rows, columns = captcha.shape[:2]

    def write(x: float, y: float, em: float) -> None:
        pen.text((x, y), WORDS[rng.integers(len(WORDS))], fill=ink, font=ImageFont.truetype(face, em))

    write(rng.uniform(10, 60), rng.uniform(5, 20), size * rng.uniform(1, 2.2))
    left = float(rng.uniform(20, width - columns - 20))
    y = float(rng.uniform(50, max(51, height - rows - 9 * size)))
    for at in np.arange(y - 2.2 * size, 60, -2.5 * size):  # what stands above: labels, each second with a field
        write(left, at, size)
        if rng.random() < 0.5:
            pen.rectangle((left, at - 1.3 * size, left + 16 * size, at - 0.2 * size), outline=line)
    at = (round(left), round(y))
    canvas.paste(Image.fromarray(captcha), at)
    if rng.random() < 0.5:
        pen.rectangle((at[0] - 1, at[1] - 1, at[0] + columns, at[1] + rows), outline=line)
    y += rows + 0.6 * size
    pen.rectangle((left, y, left + 12 * size, y + 1.8 * size), outline=line)  # the field to type into, and a button
    pen.rectangle((left + 13 * size, y, left + 18 * size, y + 1.8 * size), fill=line)
    write(left + 13.5 * size, y + 0.3 * size, size)
    for _ in range(rng.integers(0, 4)):
        y += 2.5 * size
        write(left, y, size)
    offset = np.array(at * 2)
    return Page(np.asarray(canvas), text, _box(np.array([0, 0, columns, rows]) + offset), _box(_hull(glyphs) + offset))


def photo(rng: Generator, fonts: tuple[Font, ...]) -> Page:
    """A CAPTCHA 40 to 200 px high before a camera: turned up to 5 degrees, in perspective, unevenly lit, unsharp."""
    width, height = SIZES[rng.integers(len(SIZES))]
    ground = effects.GROUNDS[("gradient", "clouds")[rng.integers(2)]](rng, (height, width), rng.uniform(40, 230, 3))
    for _ in range(rng.integers(0, 5)):  # things that stand about
        outline = rng.uniform((0, 0), (width, height)) + rng.uniform(-0.3, 0.3, (4, 2)) * width
        cv2.fillConvexPoly(ground, outline.astype(np.int32), rng.integers(0, 256, 3).tolist(), cv2.LINE_AA)
    captcha, text, glyphs = _captcha(rng, fonts, min(200, height // 3), width // 2)
    if sheet := rng.random() < 0.6:  # it stands on a sheet or a screen
        border = rng.integers(10, captcha.shape[0], 4)
        shade = rng.integers(200, 256, 3).tolist()
        captcha = cv2.copyMakeBorder(captcha, *border.tolist(), cv2.BORDER_CONSTANT, value=shade)
    rows, columns = captcha.shape[:2]
    inner = np.array([border[2], border[0], columns - border[3], rows - border[1]]) if sheet else [0, 0, columns, rows]
    glyphs = glyphs + (border[[2, 0, 2, 0]] if sheet else 0)

    shrink = min(1.0, 0.9 * width / columns, 0.9 * height / rows)
    angle = np.deg2rad(rng.uniform(-5, 5))
    turn = shrink * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32)
    placed = (corners * rng.uniform(0.97, 1.0, (4, 2))) @ turn.T
    low, high = placed.min(axis=0), placed.max(axis=0)
    placed += rng.uniform(0, np.maximum((width, height) - (high - low), 1)) - low
    matrix = cv2.getPerspectiveTransform(corners, placed.astype(np.float32))
    laid = cv2.warpPerspective(captcha, matrix, (width, height), flags=cv2.INTER_AREA)
    cover = cv2.warpPerspective(np.full((rows, columns), 255, np.uint8), matrix, (width, height))[:, :, None] / 255
    light = cv2.resize(rng.uniform(0.6, 1.0, (3, 3)), (width, height), interpolation=cv2.INTER_CUBIC)[:, :, None]
    scene = (ground * (1 - cover) + laid * cover) * light
    scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.4, 1.4)) + rng.normal(0, rng.uniform(0.5, 4), scene.shape)
    _, file = cv2.imencode(".jpg", scene.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])
    picture = cv2.imdecode(file, cv2.IMREAD_COLOR)
    return Page(picture, text, _moved(inner, matrix), _moved(_hull(glyphs), matrix))


def overlaps(page: Page, box: Box) -> bool:
    """Whether a box is the CAPTCHA's picture or its line of text, with an IoU of at least 0.5."""
    return max(iou(box, page.box), iou(box, page.line)) >= 0.5


def _captcha(rng: Generator, fonts: tuple[Font, ...], highest: int, widest: int) -> tuple[np.ndarray, str, np.ndarray]:
    """A drawn CAPTCHA at the size it has on the page, its text, and its glyphs' boxes (n, 4)."""
    text = random_text(rng)
    while len(text) < 4:
        text = random_text(rng)
    drawing = draw(rng, text=text, fonts=fonts)
    rows, columns = drawing.picture.shape[:2]
    scale = min(rng.uniform(40, highest) / rows, widest / columns)
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (round(columns * scale), round(rows * scale))
    return cv2.resize(drawing.picture, size, interpolation=kind), drawing.text, drawing.boxes * scale


def _hull(boxes: np.ndarray) -> np.ndarray:
    """The box around boxes (n, 4)."""
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _box(sides: np.ndarray) -> Box:
    x0, y0, x1, y1 = (float(side) for side in sides)
    return x0, y0, x1, y1


def _moved(sides: np.ndarray, matrix: np.ndarray) -> Box:
    """The upright box around a box that was seen in perspective."""
    x0, y0, x1, y1 = sides
    corners = np.array([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], np.float64)
    seen = cv2.perspectiveTransform(corners, matrix)[0]
    return _box(np.concatenate([seen.min(axis=0), seen.max(axis=0)]))


def measure(kind: Callable[[Generator, tuple[Font, ...]], Page], count: int, seed: int) -> str:
    """One line of figures over so many pages of a kind."""
    fonts, reader = pip_fonts(), Recognizer.from_pretrained()
    shares, seconds = [], []
    for number in range(count):
        page = kind(np.random.default_rng([seed, number]), fonts)
        x0, y0, x1, y1 = (max(0, round(side)) for side in page.box)
        started = time.process_time()
        boxes = locate(page.picture)
        located = time.process_time()
        reading = reader.read(page.picture)
        seconds.append((located - started, time.process_time() - located))
        with patch("crnn.recognizer.locate", return_value=[]):  # reads what it gets as one line
            cut, whole = reader.read(page.picture[y0:y1, x0:x1]), reader.read(page.picture)
        chosen = reading.box is not None and overlaps(page, reading.box)
        right = [exact(page.text, one.text) for one in (reading, cut, whole)]
        shares.append([any(overlaps(page, box) for box in boxes), chosen, *right])
    proposed, chosen, *right = np.mean(shares, axis=0)
    locating, whole_read = 1000 * np.median(seconds, axis=0)
    return (
        f"{kind.__name__:10} {count} pages: proposed {proposed:.2f}, chosen {chosen:.2f}; read right {right[0]:.2f}, "
        f"cut out {right[1]:.2f}, as one line {right[2]:.2f}; locate {locating:.0f} ms, "
        f"the whole read {whole_read:.0f} ms CPU"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="pages of each kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other pages (%(default)s)")
    arguments = parser.parse_args()
    for kind in (screenshot, photo):
        print(measure(kind, arguments.count, arguments.seed), flush=True)
