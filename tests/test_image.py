"""Any untrusted picture: read right, or one sentence."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from crnn import image
from crnn.image import Geometry, PictureError, open_picture, prepare, prepared_frames

GREY = np.arange(32 * 64).reshape(32, 64) // 8  # 0..255 over (32, 64)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def test_every_way_to_give_a_picture_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(RGB))
    with path.open("rb") as file:
        content = path.read_bytes()
        sources = [path, str(path), content, bytearray(content), memoryview(content), file, Image.open(path), RGB]
        for source in sources:
            assert np.array_equal(open_picture(source), RGB), type(source)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RGB[:, :, 0], np.repeat(RGB[:, :, :1], 3, axis=2)),
        (RGB[:, :, :1], np.repeat(RGB[:, :, :1], 3, axis=2)),
        (np.dstack([RGB, np.full((32, 64), 255, np.uint8)]), RGB),
    ],
    ids=["(H, W)", "(H, W, 1)", "(H, W, 4)"],
)
def test_arrays_of_other_shapes(array: np.ndarray, expected: np.ndarray) -> None:
    assert np.array_equal(open_picture(array), expected)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = (GREY * 257).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(open_picture(encoded(deep, kind))[:, :, 0], GREY)


def test_cmyk_keeps_its_colours() -> None:
    red = Image.new("RGB", (32, 16), (255, 0, 0)).convert("CMYK")
    assert np.abs(open_picture(encoded(red, "JPEG")).astype(int) - (255, 0, 0)).max() < 12


def test_one_bit() -> None:
    picture = open_picture(encoded(Image.fromarray(RGB[:, :, 0]).convert("1")))
    assert picture.shape == (32, 64, 3)
    assert set(np.unique(picture)) == {0, 255}


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("white", "black")]
    for kind in ("GIF", "WEBP"):
        animation = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert open_picture(animation).min() > 250, kind


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    assert np.array_equal(open_picture(encoded(RGB, exif=exif)), np.rot90(RGB, -1))


def test_what_can_be_seen_is_read_whatever_its_exif() -> None:
    assert np.array_equal(open_picture(encoded(RGB, exif=b"Exif\0\0no such header")), RGB)


def test_an_open_file_that_cannot_be_read_is_said() -> None:
    closed = io.BytesIO(encoded(RGB))
    closed.close()
    with pytest.raises(PictureError, match="^The open file can't be read .*; open it again.$"):
        open_picture(closed)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "film.png").open("wb") as file:
        file.truncate(600_000_000)
    with pytest.raises(PictureError, match=r"film.png has 600 MB, more than 500; give a picture.$"):
        open_picture(tmp_path / "film.png")


def test_an_open_file_is_read_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "MAX_BYTES", 2_000_000)
    with pytest.raises(PictureError, match="^The open file has more than 2 MB; give a picture.$"):
        open_picture(io.BytesIO(bytes(2_000_001)))


def text_on_nothing(brightness: int) -> np.ndarray:
    """(32, 64, 4): a bar of ink on a transparent ground whose hidden colour is a trap."""
    picture = np.zeros((32, 64, 4), np.uint8)
    picture[:, :, :3] = 128
    picture[8:24, 8:12] = (brightness, brightness, brightness, 255)
    return picture


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (90, 255), (200, 0), (255, 0)])
def test_transparency_gets_a_ground_that_shows_the_ink(ink: int, ground: int) -> None:
    picture = open_picture(encoded(text_on_nothing(ink)))
    assert (picture[16, 10] == ink).all()
    assert (picture[0, 0] == ground).all()


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_transparency_of_other_modes(mode: str) -> None:
    image = Image.fromarray(text_on_nothing(0)).convert(mode)
    picture = open_picture(encoded(image))
    assert picture[0, 0].min() > 250
    assert picture[16, 10].max() < 5


def test_an_opaque_picture_with_a_hole_gets_white() -> None:
    picture = np.dstack([RGB, np.full((32, 64), 255, np.uint8)])
    picture[:4, :4, 3] = 0
    assert (open_picture(picture)[:4, :4] == 255).all()


def header_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", b"")
    )


PNG = encoded(RGB)
BAD = {
    "empty": (b"", "empty"),
    "text": (b"not a picture", "not a picture"),
    "half a PNG": (PNG[: len(PNG) // 2], "damaged or cut off"),
    "half a JPEG": (encoded(RGB, "JPEG", quality=95)[:-100], "damaged or cut off"),
    "a PNG with a flipped byte": (PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:], "damaged or cut off"),
    "1x1": (encoded(RGB[:1, :1]), "1x1 px"),
    "20,000 x 20,000": (header_of(20_000, 20_000), "50 megapixels"),
    "8,000 x 8,000": (header_of(8_000, 8_000), "8000x8000 px"),
    "a PNG's first bytes": (PNG[:12], "damaged or cut off"),
    "nothing": (None, "A NoneType is no picture; give a path"),
    "a list": ([PNG], "A list is no picture; give a path"),
    "a text file": (io.StringIO("no bytes"), "gives text; open it in binary mode"),
    "an address": ("https://example.org/a.png", "https://example.org/a.png is an address, and nothing is fetched"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "float array": (np.zeros((20, 40, 3)), "float64 of shape (20, 40, 3)"),
    "16-bit array": (np.zeros((20, 40), np.uint16), "uint16 of shape (20, 40)"),
    "two channels": (RGB[:, :, :2], "uint8 of shape (32, 64, 2)"),
    "a row": (RGB[0, :, 0], "uint8 of shape (64,)"),
    "no pixels": (RGB[:0], "64x0 px"),
    "float image": (Image.fromarray(np.zeros((8, 8), np.float32)), "floating-point"),
    "beyond 16 bits": (Image.fromarray(np.full((8, 8), 70_000, np.int32)), "16 bits"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_gets_one_sentence(name: str) -> None:
    source, reason = BAD[name]
    with pytest.raises(PictureError) as caught:
        open_picture(source)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "no.png", "There is no file"),
        (tmp_path, "is a folder"),
        ("a\0b", "can't be opened"),
    ]:
        with pytest.raises(PictureError, match=reason):
            open_picture(path)


def test_prepare_standardises() -> None:
    prepared = prepare(RGB, 48, 4)
    assert prepared.shape == (3, 48, 96)
    assert prepared.dtype == np.float32
    assert prepared.flags.c_contiguous
    assert abs(prepared.mean()) < 1e-4
    assert abs(prepared.std() - 1) < 1e-4
    assert not prepare(np.full((20, 60, 3), 77, np.uint8), 48, 4).any()  # nothing there: nothing made up


def test_prepare_is_blind_to_contrast_and_keeps_the_channels() -> None:
    assert np.abs(prepare(RGB // 2 + 60, 48, 4) - prepare(RGB, 48, 4)).max() < 0.05
    red_left = np.zeros((48, 96, 3), np.uint8)
    red_left[:, :48, 0] = 255
    assert prepare(red_left, 48, 4)[0, 24, 10] > 1 > 0 > prepare(red_left, 48, 4)[1, 24, 10]


@pytest.mark.parametrize(
    ("size", "width"),
    [((60, 160), 128), ((48, 103), 96), ((48, 105), 112), ((200, 100), 32), ((10, 9000), 1024), ((2, 2), 48)],
)
def test_width_keeps_the_aspect_in_steps_of_four_frames(size: tuple[int, int], width: int) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    assert prepare(picture, 48, 4).shape == (3, 48, width)
    assert Geometry.of(picture, 48, 4).prepared_width == width


def test_pictures_of_all_widths_are_prepared_to_few() -> None:
    widths = {width: 4 * prepared_frames(width / 4) for width in range(32, 1025)}
    assert all(abs(prepared - width) <= max(8, width / 16) for width, prepared in widths.items())
    assert sorted(set(widths.values())) == [*range(32, 256, 16), *range(256, 512, 32), *range(512, 1025, 64)]


def test_frames_lie_evenly_on_the_picture() -> None:
    for width, height in itertools.product((20, 160, 5000), (30, 60)):
        geometry = Geometry.of(np.zeros((height, width, 3), np.uint8), 48, 4)
        assert geometry.frame_to_x(0) == 0
        assert geometry.frame_to_x(geometry.frames) == width
        assert geometry.frames * 4 == geometry.prepared_width
