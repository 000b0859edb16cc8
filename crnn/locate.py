"""Finds lines of text in a picture that is clearly larger than one: a screenshot, a camera's frame.

Text is where edges stand close together. At each of a few scales they are joined along the line, thin lines are taken
away, and what hangs together is a proposal (edges, closing, connected components: Liu and Samarabandu 2006,
"Multiscale Edge-Based Text Extraction from Complex Images"). Which one is meant only reading them can say: `choose`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from crnn.image import Picture

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in the picture's px; x1 and y1 are just outside

LINE_HEIGHT_PX, LINE_AREA_PX = 128, 64_000  # what is no higher, or no larger, is taken for a line of text itself
SIDES_PX = (800, 400, 200)  # the picture's longer side at each scale: letters of 10 to 200 px are 8 to 30 px at one
EDGE = 20  # grey levels between neighbours; three times the usual difference where the picture is noisy
GAP_PX, THIN_PX = 13, 7  # at each scale: what is joined along a line, and what is too thin to be one
ASPECTS = (1.2, 14.0)  # width over height of a line
FILLED = 0.4  # least share of its box that a joined line covers
ALIKE, SAME = 0.8, 0.2  # IoU from which on two boxes are one proposal; proposals of one line
MOST = 6  # to read; more found no more


def locate(picture: Picture) -> list[Box]:
    """The boxes of up to six likely lines of text in a picture (H, W, 3) uint8, the highest first.

    Some lie in others: a line, and the line with its label. None for a picture that may be a line itself.
    """
    rows, columns = picture.shape[:2]
    if rows < LINE_HEIGHT_PX or rows * columns < LINE_AREA_PX:
        return []
    proposals = [box for side in SIDES_PX for box in _propose(picture, min(1.0, side / max(rows, columns)))]
    boxes: list[Box] = []
    for box in sorted(proposals, key=lambda box: box[1] - box[3]):
        if len(boxes) < MOST and all(iou(box, kept) < ALIKE for kept in boxes):
            boxes.append(box)
    return boxes


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
    rows, columns = picture.shape[:2]
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    edges = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(axis=2)  # (h, w)
    ink = (edges > max(EDGE, 3 * float(np.median(edges)))).astype(np.uint8)
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((1, GAP_PX), np.uint8))
    lines = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((THIN_PX, THIN_PX), np.uint8))
    _, _, components, _ = cv2.connectedComponentsWithStats(lines)
    px = np.array((columns / size[0], rows / size[1]) * 2)
    boxes = []
    for x, y, width, height, area in components[1:].tolist():  # the first is the ground
        if ASPECTS[0] <= width / height <= ASPECTS[1] and area >= FILLED * width * height:
            x0, y0, x1, y1 = np.rint((x, y, x + width, y + height) * px).astype(int).tolist()
            boxes.append((x0, y0, x1, y1))
    return boxes
