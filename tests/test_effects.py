"""Each effect keeps shape and type, and does something."""

import numpy as np
import pytest

from crnn import effects

CAP_PX = 24.0


@pytest.fixture
def letter() -> np.ndarray:
    """A thick cross: (30, 26) uint8."""
    mask = np.zeros((30, 26), np.uint8)
    mask[3:27, 10:16] = 255
    mask[12:18, 3:23] = 255
    return mask


@pytest.fixture
def picture() -> np.ndarray:
    """Dark bars on a light ground with a gradient: (48, 120, 3) uint8."""
    shade = np.linspace(180, 240, 120).astype(np.uint8)
    picture = np.repeat(np.repeat(shade[None, :, None], 48, 0), 3, 2)
    picture[12:36, 20:100:10] = (20, 40, 90)
    return picture


@pytest.mark.parametrize("name", effects.FACES)
def test_a_face_stays_in_its_place_and_is_never_empty(name: str, letter: np.ndarray) -> None:
    drawn = effects.FACES[name](np.random.default_rng(0), letter, CAP_PX)
    assert drawn.shape == letter.shape and drawn.dtype == np.uint8
    assert drawn.max() > 100
    assert name == "solid" or (drawn != letter).any()


@pytest.mark.parametrize("name", effects.WARPS)
def test_a_warp_moves_pixels_but_not_far(name: str) -> None:
    shape = (48, 120)
    for seed in range(20):
        dx, dy = effects.WARPS[name](np.random.default_rng(seed), shape, CAP_PX)
        field = np.broadcast_arrays(dx, dy, np.zeros(shape))[:2]
        assert np.isfinite(field).all()
        assert 0 < np.abs(field).max() < 1.5 * CAP_PX


@pytest.mark.parametrize("name", effects.CLUTTER)
def test_clutter_is_drawn_into_masks_and_pictures_alike(name: str, picture: np.ndarray) -> None:
    mask, canvas = np.zeros((48, 120), np.uint8), picture.copy()
    effects.CLUTTER[name](np.random.default_rng(1), mask, 255, CAP_PX)
    effects.CLUTTER[name](np.random.default_rng(1), canvas, [255, 0, 0], CAP_PX)
    assert mask.any() and (canvas != picture).any()
    assert mask.mean() < 200  # the text must still have room


@pytest.mark.parametrize("name", effects.GROUNDS)
def test_a_ground_stays_near_its_colour(name: str) -> None:
    base = np.array([200.0, 180.0, 160.0])
    ground = effects.GROUNDS[name](np.random.default_rng(2), (48, 120), base)
    assert ground.shape == (48, 120, 3) and ground.dtype == np.uint8
    assert np.abs(ground.mean((0, 1)) - base).max() < 60


@pytest.mark.parametrize("name", effects.FINISHES)
def test_a_finish_keeps_the_shape_and_changes_something(name: str, picture: np.ndarray) -> None:
    changed = []
    for seed in range(5):
        finished = effects.FINISHES[name](np.random.default_rng(seed), picture, CAP_PX)
        assert finished.shape == picture.shape and finished.dtype == np.uint8
        changed.append((finished != picture).any())
    assert any(changed)


def test_noise_is_seeded_and_in_cells() -> None:
    first, again, other = (effects.noise(np.random.default_rng(seed), (40, 60), 4) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(first[:4, :4], np.full((4, 4), first[0, 0]))


def test_dice_fall_as_evenly_as_those_of_numpy() -> None:
    dice = effects.Dice(np.random.default_rng(0))
    for drawn, low, high in (
        ([dice.random() for _ in range(3000)], 0.0, 1.0),
        ([dice.uniform(-2, 6) for _ in range(3000)], -2.0, 6.0),
        ([dice.integers(7) for _ in range(3000)], 0.0, 6.0),
        ([dice.integers(3, 6) for _ in range(3000)], 3.0, 5.0),
    ):
        assert min(drawn) >= low and max(drawn) <= high and max(drawn) > high - 0.01 * (high - low)
        assert abs(np.mean(drawn) - (low + high) / 2) < 0.03 * (high - low)
    assert dice.uniform((0, 5), (1, 6), (4, 2)).shape == (4, 2) and dice.random((2, 3)).shape == (2, 3)
