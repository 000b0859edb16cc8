"""Figures whose right value can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crnn.decode import Reading
from crnn.metrics import (
    Scores,
    align,
    calibration_error,
    cased,
    character_error_rate,
    confusions,
    exact,
    mean,
    peak,
    points_into,
    right_when_sure,
    score,
)


@pytest.mark.parametrize(
    ("reference", "text", "is_exact", "is_cased"),
    [
        ("aB3", "aB3", True, True),
        ("aB3", "Ab3", True, False),
        ("aB 3", " aB3\n", True, True),
        ("aB3", "aB8", False, False),
        ("", "", True, True),
        ("e\u0301A1", "éA1", True, True),  # macOS decomposes names
    ],
)
def test_exact_ignores_case_and_both_ignore_white_space(
    reference: str, text: str, is_exact: bool, is_cased: bool
) -> None:
    assert (exact(reference, text), cased(reference, text)) == (is_exact, is_cased)


@pytest.mark.parametrize(
    ("reference", "text", "pairs"),
    [
        ("abc", "abc", [("a", "a"), ("b", "b"), ("c", "c")]),
        ("abc", "axc", [("a", "a"), ("b", "x"), ("c", "c")]),
        ("abc", "ac", [("a", "a"), ("b", ""), ("c", "c")]),
        ("ac", "abc", [("a", "a"), ("", "b"), ("c", "c")]),
        ("ab", "", [("a", ""), ("b", "")]),
        ("", "a", [("", "a")]),
        ("", "", []),
    ],
)
def test_align(reference: str, text: str, pairs: list[tuple[str, str]]) -> None:
    assert align(reference, text) == pairs


def test_alignment_has_the_fewest_edits() -> None:
    pairs = align("intention", "execution")
    assert sum(true != read for true, read in pairs) == 5
    assert "".join(true for true, _ in pairs) == "intention"
    assert "".join(read for _, read in pairs) == "execution"


def test_character_error_rate_is_edits_over_true_characters() -> None:
    assert character_error_rate(["abcd", "XY 12"], ["abxd", "xy1"]) == pytest.approx(2 / 8)
    assert character_error_rate(["ab"], ["abcdef"]) == 2.0


def test_confusions_count_what_differs() -> None:
    found = confusions(["O0l", "0a", "bb"], ["00l", "Oa", "b"])
    assert found == {("O", "0"): 1, ("0", "O"): 1, ("b", ""): 1}
    assert confusions(["a"], ["ab"]) == {("", "b"): 1}


def test_calibration_error_by_hand() -> None:
    # two bins of the fifteen: (0.5 + 0.52)/2 against 1 right of 2, and 0.95 against 1 right of 1
    assert calibration_error([0.5, 0.52, 0.95], [True, False, True]) == pytest.approx((2 * 0.01 + 0.05) / 3)


def test_calibration_error_puts_edges_into_the_bin_below() -> None:
    # 0 and 1/15 share the first bin: mean confidence 1/30 against 1 right of 2
    assert calibration_error([0.0, 1 / 15], [False, True]) == pytest.approx(14 / 15 / 2)
    assert calibration_error([1.0, 1.0], [True, True]) == 0.0


def test_calibrated_confidences_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=20_000)
    right = rng.uniform(size=20_000) < confidence
    assert calibration_error(confidence, right) < 0.02
    assert calibration_error(confidence**0.5, right) > 0.1


def test_right_when_sure_counts_the_sure_alone() -> None:
    assert right_when_sure([0.9, 0.99, 0.5], [True, False, False]) == 0.5
    assert right_when_sure([0.5], [True]) is None


def test_a_set_is_scored() -> None:
    readings = [Reading("ab", 0.9), Reading("CD", 0.7), Reading("ex", 0.4)]
    scores = score("few", ["ab", "cd", "ef"], readings)
    assert scores.as_dict() == {"set": "few", "n": 3, "exact": 0.6667, "cased": 0.3333, "cer": 0.1667, "ece": 0.2667}


def test_a_set_needs_a_reading_for_each_text() -> None:
    with pytest.raises(ValueError, match="2 true texts and 1 readings"):
        score("few", ["a", "b"], [Reading("a", 1.0)])
    with pytest.raises(ValueError, match="0 true texts"):
        score("none", [], [])


def test_the_mean_counts_each_set_the_same() -> None:
    small, large = Scores("small", 1, 1.0, 1.0, 0.0, 0.1), Scores("large", 99, 0.5, 0.0, 0.2, 0.3)
    both = mean([small, large]).as_dict()
    assert both == {"set": "mean", "n": 100, "exact": 0.75, "cased": 0.5, "cer": 0.1, "ece": 0.2}
    with pytest.raises(ValueError, match="No set"):
        mean([])


def test_attention_points_into_the_glyphs_box() -> None:
    focus = np.array([[0.0, 0.1, 0.0, 0.0], [0.0, 0.1, 0.6, 0.2]], dtype=np.float32)
    size = (80, 20)  # so a cell is 20 x 10 px, and the peak at x = 52.2, y = 15
    assert peak(focus) == pytest.approx((1.5, (1.5 * 0.1 + 2.5 * 0.6 + 3.5 * 0.2) / 0.9))
    assert peak(np.array([[2.0]], np.float32)) == (0.5, 0.5)
    assert points_into(focus, (42, 8, 58, 18), size)
    assert not points_into(focus, (20, 8, 45, 18), size)
    assert not points_into(focus, (42, 0, 58, 12), size)
