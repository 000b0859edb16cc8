"""Any untrusted picture in, one well-formed tensor out, and the geometry between the two."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

# Decoders for formats that people upload. Pillow has more; some of them start other programs (EPS: Ghostscript).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF")
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")  # how the usual ones begin
DAMAGED = "The picture is damaged or cut off; save or download it again."
MAX_PIXELS = 50_000_000  # 150 MB as RGB; a phone's camera stays below
MAX_BYTES = 500_000_000  # of a file; 50 megapixels of 16 bits with transparency take 400 MB
MIN_SIDE_PX = 2
STEP_FRAMES = 4  # widths are multiples of so many frames: engines are slower on each width that is new to them
STEPS = 16  # of one size: after so many they are twice as wide, and so on
MIN_FRAMES = 8  # narrower pictures are widened to this, so that a tall single character still has frames to sit on
MAX_FRAMES = 256  # bounds memory; a wider picture is squeezed

Picture = npt.NDArray[np.uint8]  # (H, W, 3) RGB
Source = str | Path | bytes | BinaryIO | Image.Image | npt.NDArray[Any]


class PictureError(ValueError):
    """A picture that can't be used, in one sentence: what came, what was expected, what to do."""


def prepared_frames(frames: float) -> int:
    """The nearest width that pictures are prepared to: multiples of 4 frames to 64, of 8 to 128, of 16 to 256."""
    step = STEP_FRAMES
    while frames >= STEPS * step:
        step *= 2
    return min(max(step * round(frames / step), MIN_FRAMES), MAX_FRAMES)


@dataclass(frozen=True)
class Geometry:
    """How one picture of width x height px lies on its prepared version and on that one's frames."""

    width: int
    height: int
    prepared_width: int
    stride: int  # prepared px a frame

    @classmethod
    def of(cls, picture: Picture, height: int, stride: int, wider: float = 1.0) -> Geometry:
        """The geometry of picture (H, W, 3) prepared to height px at stride px a frame, and so much wider."""
        rows, columns = picture.shape[:2]
        frames = prepared_frames(wider * columns * height / (rows * stride))
        return cls(columns, rows, frames * stride, stride)

    @property
    def frames(self) -> int:
        """Number of frames, T."""
        return self.prepared_width // self.stride

    def frame_to_x(self, frame: float) -> float:
        """Left edge of a frame in px of the picture; frame T gives the picture's right edge."""
        return frame * self.width / self.frames


def open_picture(source: Source) -> Picture:
    """Read any picture as (H, W, 3) uint8 RGB.

    EXIF rotation is applied, 16-bit scaled, the first frame of an animation taken, and transparency laid over white
    (over black where light ink stands on a transparent ground). Raises PictureError for all that is no usable picture.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        _check_size(*source.size)
        return _from_pillow(source)
    if isinstance(source, str) and "://" in source:
        raise PictureError(f"{source} is an address, and nothing is fetched; save the picture and give its file.")
    if isinstance(source, str | Path):
        return _from_bytes(_read_file(Path(source)))
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_bytes(bytes(source))
    if hasattr(source, "read"):
        return _from_bytes(_read_stream(source))
    raise PictureError(
        f"A {type(source).__name__} is no picture; give a path, the bytes of a file, a binary file, a PIL image or a "
        "uint8 array."
    )


def prepare(picture: Picture, height: int, stride: int, wider: float = 1.0) -> npt.NDArray[np.float32]:
    """Resize and standardise picture (H, W, 3) uint8 to (3, height, width) float32.

    The width keeps the aspect, or `wider` times it, as nearly as :func:`prepared_frames` allows. Over all channels
    together the mean becomes 0, so that zero padding is as bright as the picture's mean, and the standard
    deviation 1.
    """
    geometry = Geometry.of(picture, height, stride, wider)
    shrinking = picture.shape[0] > height
    size = (geometry.prepared_width, height)
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
    mean, deviation = (float(one.item()) for one in cv2.meanStdDev(resized.reshape(-1, 1)))
    contrast = max(deviation, 1.0)  # one grey level at least: an empty picture stays empty
    return np.asarray(cv2.dnn.blobFromImage(resized, 1 / contrast, mean=(mean, mean, mean))[0], np.float32)


def lowered(picture: Picture, most: int) -> Picture:
    """A copy of a picture (H, W, 3), shrunk to `most` px of height where it is higher."""
    rows, columns = picture.shape[:2]
    if rows <= most:
        return picture.copy()
    size = (max(1, round(columns * most / rows)), most)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _read_file(path: Path) -> bytes:
    """The bytes of a file; PictureError where there is none."""
    if os.path.isdir(path):  # Path.is_dir raises where a name is too long, or its folder is closed
        raise PictureError(f"{path} is a folder, not a picture; give the pictures in it.")
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except FileNotFoundError:
        raise PictureError(f"There is no file {path}; check the name.") from None
    except (OSError, ValueError) as error:
        raise PictureError(f"{path} can't be opened ({error}); check the name and its permissions.") from None
    if size > MAX_BYTES:
        raise PictureError(f"{path} has {size // 10**6} MB, more than {MAX_BYTES // 10**6}; give a picture.")
    return data


def _read_stream(stream: BinaryIO) -> bytes:
    """What is left in an open file; PictureError where it can't be read."""
    try:
        data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it was closed
        raise PictureError(f"The open file can't be read ({error}); open it again.") from None
    if not isinstance(data, bytes):
        raise PictureError("The open file gives text; open it in binary mode, as with open(path, 'rb').")
    if len(data) > MAX_BYTES:
        raise PictureError(f"The open file has more than {MAX_BYTES // 10**6} MB; give a picture.")
    return data


def _from_bytes(data: bytes) -> Picture:
    """Decode a picture file's bytes; the size is checked from the header, before decoding."""
    if not data:
        raise PictureError("The file is empty (0 bytes); choose a picture.")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(f"The picture has more than {MAX_PIXELS // 10**6} megapixels; crop or shrink it.") from None
    except Exception:  # Pillow's decoders raise many kinds on broken headers
        if data.startswith(SIGNATURES):
            raise PictureError(DAMAGED) from None
        raise PictureError(
            "The file is not a picture of a kind that can be read; choose a PNG, JPEG, WebP, AVIF, GIF, BMP, TIFF or "
            "PPM file."
        ) from None
    _check_size(*image.size)
    return _from_pillow(image)


def _check_size(width: int, height: int) -> None:
    """Refuse pictures too small to hold a character or too large to decode safely."""
    if min(width, height) < MIN_SIDE_PX:
        raise PictureError(f"The picture is {width}x{height} px; choose one at least {MIN_SIDE_PX} px wide and high.")
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 10**6} megapixels"
        raise PictureError(f"The picture is {width}x{height} px, more than {limit}; crop or shrink it.")


def _from_pillow(image: Image.Image) -> Picture:
    """Decode and convert an opened image of any mode."""
    try:
        image.load()
        image = _upright(image)
        if image.mode == "I" or image.mode.startswith("I;16"):
            return _from_16_bit(np.asarray(image))
        if image.mode == "F":
            raise PictureError("The picture holds floating-point brightness; save it with 8 bits a channel.")
        if image.has_transparency_data:
            return _flatten(np.asarray(image.convert("RGBA")))
        return np.array(image.convert("RGB"))
    except PictureError:
        raise
    except Exception:  # decoders raise many kinds: OSError for cut files, SyntaxError, struct.error, ValueError ...
        raise PictureError(DAMAGED) from None


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says, if that can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # SyntaxError, struct.error and others; the pixels are all there
        return image


def _from_16_bit(grey: npt.NDArray[Any]) -> Picture:
    """Scale (H, W) brightness 0..65535 to RGB; values within 0..255 are taken as 8-bit ones in a wide type."""
    if grey.min() < 0 or grey.max() > 65535:
        raise PictureError("The picture's brightness goes beyond 16 bits; save it with 8 bits a channel.")
    scaled = grey if grey.max() <= 255 else np.rint(grey / 257)
    return np.repeat(scaled.astype(np.uint8)[:, :, None], 3, axis=2)


def _from_array(array: npt.NDArray[Any]) -> Picture:
    """Take (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, uint8."""
    grey = array[:, :, None] if array.ndim == 2 else array
    if array.dtype != np.uint8 or grey.ndim != 3 or grey.shape[2] not in (1, 3, 4):
        found = f"{array.dtype} of shape {array.shape}"
        raise PictureError(f"Got an array of {found}; give uint8 (0 to 255) of shape (H, W), (H, W, 3) or (H, W, 4).")
    _check_size(grey.shape[1], grey.shape[0])
    if grey.shape[2] == 4:
        return _flatten(grey)
    return np.ascontiguousarray(np.broadcast_to(grey, (*grey.shape[:2], 3)))


def _flatten(rgba: Picture) -> Picture:
    """Lay (H, W, 4) over white; over black if mostly transparent and what is visible is light (white text)."""
    alpha = np.ascontiguousarray(rgba[:, :, 3])
    covered = float(alpha.mean()) / 255
    if covered == 1:
        return np.ascontiguousarray(rgba[:, :, :3])
    ink = cv2.multiply(rgba[:, :, :3], cv2.merge([alpha] * 3), scale=1 / 255)  # what shows of it
    light_ink = 0 < covered < 0.5 and float(ink.mean()) / covered > 127.5
    return np.asarray(ink if light_ink else cv2.add(ink, cv2.merge([255 - alpha] * 3)), np.uint8)
