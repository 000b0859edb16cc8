"""Finds lines of text in a picture that is clearly larger than one: a screenshot, a camera's frame; and empty margins.

Text is where edges stand close together. At each of a few scales they are joined along the line, thin lines are taken
away, and what hangs together is a proposal (edges, closing, connected components: Liu and Samarabandu 2006,
"Multiscale Edge-Based Text Extraction from Complex Images"). Which one is meant only reading them can say: `choose`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from crnn.image import Picture

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in the picture's px; x1 and y1 are just outside

LINE_HEIGHT_PX, LINE_AREA_PX = 128, 64_000  # what is no higher, or no larger, is taken for a line of text itself
SIDES_PX = (800, 400, 200)  # the picture's longer side at each scale: letters of 10 to 200 px are 8 to 30 px at one
EDGE = 20  # grey levels between neighbours; three times the usual difference where the picture is noisy
GAP_PX, THIN_PX = 13, 7  # at each scale: what is joined along a line, and what is too thin to be one
ASPECTS = (1.2, 14.0)  # width over height of a line
BAR_ASPECT = 2.0  # least of a line between bars
MARGIN = 0.1  # of the height of what is not empty, left above and below it
FILLED = 0.4  # least share of its box that a joined line covers
ALIKE, SAME = 0.8, 0.2  # IoU from which on two boxes are one proposal; proposals of one line
MOST = 6  # to read; more found no more


def locate(picture: Picture) -> list[Box]:
    """The boxes of up to six likely lines of text in a picture (H, W, 3) uint8, the highest first.

    Some lie in others: a line, and the line with its label. First is what lies between bars, if that has the shape of a
    line. None for a picture that may be a line itself.
    """
    rows, columns = picture.shape[:2]
    if rows < LINE_HEIGHT_PX or rows * columns < LINE_AREA_PX:
        return []
    proposals = [box for side in SIDES_PX for box in _propose(picture, min(1.0, side / max(rows, columns)))]
    boxes = _between_bars(picture)
    for box in sorted(proposals, key=lambda box: box[1] - box[3]):
        if len(boxes) < MOST and all(iou(box, kept) < ALIKE for kept in boxes):
            boxes.append(box)
    return boxes


def within_margins(picture: Picture) -> slice | None:
    """The rows of a picture (H, W, 3) uint8 without what is empty above and below: text stands larger in them.

    None where these are all rows, or none.
    """
    unlike, px = _unlike_corner(picture)
    top, bottom = _extent(np.any(unlike, 1))
    margin, rows = MARGIN * (bottom - top), len(unlike)
    first, end = max(0.0, top - margin), min(float(rows), bottom + margin)
    if bottom == top or end - first > rows - 1:
        return None
    return slice(round(first * px[1]), round(end * px[1]))


def choose(boxes: Sequence[Box], read: Sequence[float]) -> int:
    """The index of the box that is meant, given how many characters were surely read in each.

    Distorted text is read less surely than the labels around it, but stands larger: so of all boxes where at least two
    characters were read it is the highest, and among the proposals of that line the one where most was read.
    """
    heights = [(y1 - y0) * min(1.0, sure / 2) for (_, y0, _, y1), sure in zip(boxes, read, strict=True)]
    highest = boxes[heights.index(max(heights))]
    return max((number for number, box in enumerate(boxes) if iou(box, highest) >= SAME), key=read.__getitem__)


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    upright = min(one[3], other[3]) - max(one[1], other[1])
    common = max(across, 0) * max(upright, 0)
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other))
    return common / (areas - common)


def _propose(picture: Picture, scale: float) -> list[Box]:
    """The lines that hang together when the picture is shrunk to this scale."""
    small, px = _shrunk(picture, scale)
    edges = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2)  # (h, w)
    ink = (edges > max(EDGE, 3 * float(np.median(edges)))).astype(np.uint8)
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, GAP_PX), np.uint8))
    lines = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((THIN_PX, THIN_PX), np.uint8))
    _, _, components, _ = cv2.connectedComponentsWithStats(lines)
    boxes = []
    for x, y, width, height, area in components[1:].tolist():  # the first is the ground
        if ASPECTS[0] <= width / height <= ASPECTS[1] and area >= FILLED * width * height:
            x0, y0, x1, y1 = np.rint((x, y, x + width, y + height) * px).astype(int).tolist()
            boxes.append((x0, y0, x1, y1))
    return boxes


def _between_bars(picture: Picture) -> list[Box]:
    """The box between bars of one colour above and below, or at the sides, where its own ground has another."""
    unlike, px = _unlike_corner(picture)
    (top, bottom), (left, right) = (_extent(np.any(unlike, axis)) for axis in (1, 0))
    inner = unlike[top:bottom, left:right]
    aspect = (right - left) / max(bottom - top, 1)
    if inner.size == unlike.size or not BAR_ASPECT <= aspect <= ASPECTS[1] or inner.mean() <= 0.5:
        return []
    x0, y0, x1, y1 = np.rint((left, top, right, bottom) * px).astype(int).tolist()
    return [(x0, y0, x1, y1)]


def _unlike_corner(picture: Picture) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Where a picture, shrunk to the first scale, has another colour than its corner, (h, w); and px as `_shrunk`."""
    small, px = _shrunk(picture, min(1.0, SIDES_PX[0] / max(picture.shape[:2])))
    corner = small[0, 0].astype(int)
    like = np.asarray(cv2.inRange(small, np.maximum(corner - EDGE, 0), np.minimum(corner + EDGE, 255)), bool)
    return ~like, px


def _extent(marked: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """From the first that is marked to after the last."""
    numbers = np.flatnonzero(marked)
    return (int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else (0, 0)


def _shrunk(picture: Picture, scale: float) -> tuple[Picture, npt.NDArray[np.float64]]:
    """The picture at this scale, and how many of its px each of the smaller one's is, as x, y, x, y."""
    rows, columns = picture.shape[:2]
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small, np.array((columns / size[0], rows / size[1]) * 2)  # type: ignore[return-value]
