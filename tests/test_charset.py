"""Text to class ids and back."""

from __future__ import annotations

import pytest

from crnn.charset import BLANK, NAMED, Charset, resolve


@pytest.mark.parametrize(
    ("spec", "characters"),
    [
        ("digits", "0123456789"),
        ("DIGITS", "0123456789"),
        ("xyz", "xyz"),
        ("abca", "abc"),
        ("letters", NAMED["lower"] + NAMED["upper"]),
    ],
)
def test_resolve(spec: str, characters: str) -> None:
    assert resolve(spec) == characters


def test_resolve_refuses_what_says_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        resolve("")
    with pytest.raises(ValueError, match="is a list"):
        resolve(["a", "b"])  # type: ignore[arg-type]


def test_text_survives_the_way_to_ids_and_back() -> None:
    charset = Charset("abC")
    assert charset.encode("CabaC") == [3, 1, 2, 1, 3]
    assert charset.decode([3, 1, 2, 1, 3]) == "CabaC"
    assert charset.encode("") == [] and charset.decode([]) == ""


def test_the_blank_is_a_class_of_its_own() -> None:
    charset = Charset("ab")
    assert len(charset) == 3
    assert BLANK not in charset.encode("ab")


def test_class_ids_are_a_sorted_set() -> None:
    assert Charset("abC").class_ids("CaC") == [1, 3]


@pytest.mark.parametrize("method", ["encode", "class_ids"])
def test_an_unknown_character_is_named(method: str) -> None:
    with pytest.raises(ValueError, match="'é'"):
        getattr(Charset("abc"), method)("aé")


@pytest.mark.parametrize("characters", ["", "aba"])
def test_a_charset_has_each_character_once_and_at_least_one(characters: str) -> None:
    with pytest.raises(ValueError, match="charset"):
        Charset(characters)
