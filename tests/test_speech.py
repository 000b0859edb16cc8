"""What is said, and that it is really heard: the sound tests run the engine."""

from __future__ import annotations

import io
import json
import math
import re
import string
import subprocess
import sys
import threading
import time
import wave
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from dtw import dtw
from python_speech_features import mfcc

from crnn import speech
from crnn.decode import Alternative, Character, Reading
from crnn.speech import SpeechError, names, speak, synthesize, voices, words

PRINTABLE = string.digits + string.ascii_letters + string.punctuation + " "


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    speech._cache.clear()


def samples(wav: bytes) -> array[int]:
    """Return the 16-bit samples of a mono WAV of 22,050 Hz."""
    with wave.open(io.BytesIO(wav)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 22050)
        return array("h", sound.readframes(sound.getnframes()))


def loudness(wav: bytes) -> float:
    """Return the root mean square of the samples, 0 to 32768."""
    values = samples(wav)
    return math.sqrt(sum(value * value for value in values) / len(values))


def longest_silence(wav: bytes) -> float:
    """Return the seconds of the longest stretch between two sounds."""
    loud = [index for index, value in enumerate(samples(wav)) if abs(value) > 300]
    return max(after - before for before, after in zip(loud, loud[1:], strict=False)) / 22050


def reading(text: str, **unsure: tuple[float, str]) -> Reading:
    """Return a reading sure of all but `unsure`: a character -> its confidence and the other characters, best first."""
    characters = []
    for index, character in enumerate(text):
        confidence, others = unsure.get(character, (0.99, ""))
        alternatives = tuple(Alternative(other, (1 - confidence) / 2) for other in others)
        characters.append(Character(character, confidence, (4 * index, 4 * index + 3), alternatives))
    return Reading(text, 0.5, tuple(characters))


# ---------------------------------------------------------------- words


def test_three_styles() -> None:
    assert words("A7b_") == "capital A, 7, b, underscore"
    assert words("A7b@", "phonetic") == "capital Alpha, seven, bravo, at sign"
    assert words("A7b", "plain") == "A7b"
    assert words("_-_", "plain") == "underscore, hyphen, underscore"  # which no voice can say as a word


def test_ignore_case_leaves_out_capital() -> None:
    assert words("Ab", ignore_case=True) == "A, b"
    assert words("Ab", "phonetic", ignore_case=True) == "Alpha, bravo"


def test_nothing_read_is_said() -> None:
    assert words("") == words(Reading("", 0.9)) == "No text found."


@pytest.mark.parametrize("language", speech.LANGUAGES)
@pytest.mark.parametrize("style", ["spell", "phonetic"])
def test_every_printable_character_has_a_name_of_its_own(style: str, language: str) -> None:
    named = names(style, language)
    assert sorted(named) == sorted(PRINTABLE)
    assert all(name.strip() for name in named.values())
    # capitals and small letters are told apart by more than how they are written
    assert len({name.casefold() for name in named.values()}) == 95


PHONEMES = """
import ctypes, json, os, sys
import espeakng_loader as package
os.environ["ESPEAK_DATA_PATH"] = package.get_data_path()
library = ctypes.CDLL(package.get_library_path())
library.espeak_Initialize(2, 0, None, 0)
library.espeak_TextToPhonemes.restype = ctypes.c_char_p
request = json.load(sys.stdin)
assert library.espeak_SetVoiceByName(request["voice"].encode()) == 0
phonemes = []
for name in request["names"]:
    text = ctypes.pointer(ctypes.c_char_p(name.encode()))
    phonemes.append(library.espeak_TextToPhonemes(text, 1, 2).decode())
print(json.dumps(phonemes), flush=True)
os._exit(0)
"""


def phonemes(style: str, language: str) -> dict[str, str]:
    """Return what espeak says for each of the 95 characters, in the IPA."""
    request = {"voice": language, "names": [words(character, style, language=language) for character in PRINTABLE]}
    said = subprocess.run(
        [sys.executable, "-c", PHONEMES], input=json.dumps(request), capture_output=True, text=True, check=True
    )
    return dict(zip(PRINTABLE, json.loads(said.stdout), strict=True))


@pytest.mark.parametrize("language", speech.LANGUAGES)
def test_what_is_said_is_what_was_meant(language: str) -> None:
    """The reviewed table: a character, then how it is said in each style."""
    pytest.importorskip("espeakng_loader")
    said = [phonemes(style, language) for style in ("spell", "phonetic", "plain")]
    rows = ["\t".join((character, *(sounds[character] for sounds in said))) for character in PRINTABLE]
    expected = Path(__file__).with_name("phonemes") / f"{language}.tsv"
    assert rows == expected.read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.parametrize("language", speech.LANGUAGES)
@pytest.mark.parametrize("style", ["spell", "phonetic"])  # as a word, capitals sound like small letters
def test_no_two_names_sound_alike(style: str, language: str) -> None:
    pytest.importorskip("espeakng_loader")
    sounds = [re.sub("[ˈˌ]", "", sound) for sound in phonemes(style, language).values()]  # stress alone tells no one
    assert len(sounds) == 95
    assert [sound for sound in sounds if sounds.count(sound) > 1] == []


def test_names_can_be_told_apart_by_ear() -> None:
    """Nearest neighbour among 36 names by one voice at one rate, asked about another voice and about two other rates.

    What is mistaken by the spoken alphabet: another voice's "alpha" for "delta" and "papa" for "oscar". ICAO has no
    other words for them. Of the plain letters it is e for p, o for l, r for n, s for f, z for c, and a fast t for c.
    """
    questions = (("en", 110), ("en", 200), ("en-us", 150))
    right = {}
    with ThreadPoolExecutor(4) as pool:
        for style in ("spell", "phonetic"):
            named = names(style, ignore_case=True)
            heard = [named[character] for character in string.digits + string.ascii_lowercase]

            def said(rate: int, voice: str, heard: list[str] = heard) -> list[np.ndarray]:
                return list(pool.map(lambda name: features(synthesize(name, rate, voice)), heard))

            templates, hits = said(150, "en"), 0
            for voice, rate in questions:
                for index, asked in enumerate(said(rate, voice)):
                    distances = [dtw(asked, template, distance_only=True).normalizedDistance for template in templates]
                    hits += index == np.argmin(distances)
            right[style] = hits / (len(questions) * len(heard))
    assert right["phonetic"] >= 0.97, right
    assert 1 - right["spell"] >= 2 * (1 - right["phonetic"]), right  # half the mistakes


def features(wav: bytes) -> np.ndarray:
    """Return the MFCC of what is not silence, (frames, 13), a frame every 20 ms, without the voice's own colour."""
    values = np.array(samples(wav), float)
    loud = np.flatnonzero(np.abs(values) > 300)
    coefficients = mfcc(values[loud[0] : loud[-1]], 22050, winstep=0.02, nfft=1024, appendEnergy=False)
    return (coefficients - coefficients.mean(axis=0)) / coefficients.std(axis=0)


@pytest.mark.parametrize("language", speech.LANGUAGES)
def test_every_language_says_what_is_unsure(language: str) -> None:
    said = words(reading("ab0", **{"0": (0.5, "O")}), language=language, ignore_case=True)
    assert (
        said
        == {
            "en": "a, b, 0. Third character: zero, or the letter O",
            "es": "a, b, 0. Tercer carácter: cero, o la letra O",
            "fr": "a, b, 0. Troisième caractère : zéro, ou la lettre O",
            "de": "a, b, 0. Drittes Zeichen: null, oder der Buchstabe O",
        }[language]
    )
    assert loudness(synthesize(said, voice=language)) > 1000  # the key of a language is a voice


def test_unsure_character_is_said_with_its_rival() -> None:
    unsure = {"0": (0.6, "OD")}
    assert words(reading("A70b", **unsure)) == ("capital A, 7, 0, b. Third character: zero, or the capital letter O")
    assert words(reading("A70b", **unsure), ignore_case=True).endswith(". Third character: zero, or the letter O")
    assert words(reading("A70b", **unsure), "phonetic").endswith(". Third character: zero, or capital Oscar")
    assert words(reading("A70b", **unsure), "plain") == "A70b. Third character: zero, or the capital letter O"


def test_two_letters_need_no_word_for_letter() -> None:
    assert words(reading("vb", v=(0.5, "u"))).endswith(". First character: v, or u")


def test_sure_character_is_not_said_twice() -> None:
    assert words(reading("o7", o=(0.9, "0"))) == "o, 7"
    assert words(reading("o7", o=(0.3, ""))) == "o, 7"  # unsure, but without another one to name


def test_only_case_in_doubt_is_no_doubt_when_case_is_ignored() -> None:
    unsure = reading("x", x=(0.5, "X%"))  # 0.25 each
    assert words(unsure).endswith("First character: x, or capital X")
    assert words(unsure, ignore_case=True).endswith("First character: the letter x, or percent sign")  # 0.75 together
    assert words(reading("x", x=(0.7, "X%")), ignore_case=True) == "x"  # 0.85 together


def test_characters_past_the_last_ordinal_are_numbered() -> None:
    assert words(reading("aaaaaaaaaaaab", b=(0.5, "6"))).endswith(". Character 13: the letter b, or six")


def test_characters_beyond_ascii() -> None:
    assert words("é€") == "é, euro sign"
    assert words("ÄäЖ") == "capital Ä, ä, capital Ж" and words("Ä", ignore_case=True) == "Ä"
    assert words(reading("É", É=(0.5, "6"))).endswith("the capital letter É, or six")


@pytest.mark.parametrize(("style", "language", "message"), [("shout", "en", "spell"), ("spell", "xx", "en")])
def test_unknown_style_or_language_names_the_known(style: str, language: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        words("a", style, language=language)


# ---------------------------------------------------------------- sound


def test_speak_writes_a_wav_that_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    speak("capital A, 7, b", path)
    wav = path.read_bytes()
    assert loudness(wav) > 1000
    assert 1 < len(samples(wav)) / 22050 < 4
    assert longest_silence(wav) > 0.1  # between the characters


def test_text_rate_and_voice_are_heard() -> None:
    sound = synthesize("seven, bravo")
    assert len(synthesize("seven, bravo, capital Alpha")) > 1.3 * len(sound)
    assert len(synthesize("seven, bravo", rate=300)) < 0.7 * len(sound)
    assert len(synthesize("seven, bravo", rate=80)) > 1.4 * len(sound)
    others = {synthesize("seven, bravo", voice=voice) for voice in ("gmw/de", "es", "en+f3")}
    assert len({sound, *others}) == 4


def test_said_again_comes_from_memory() -> None:
    first = synthesize("said again")
    started = time.perf_counter()
    assert synthesize("said again") is first
    assert time.perf_counter() - started < 0.01


def test_cache_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    old = synthesize("one")
    monkeypatch.setattr(speech, "CACHE_BYTES", len(old) + 10)
    synthesize("two")
    assert [key[0] for key in speech._cache] == ["two"]


def test_sounds_are_forgotten_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "CACHE_SECONDS", 0.5)
    monkeypatch.setattr(speech, "_forgetter", None)  # that of other tests waits for minutes
    threads = threading.active_count()
    synthesize("a secret")
    synthesize("another")
    assert speech._cache and threading.active_count() <= threads + 1  # one for both
    deadline = time.monotonic() + 10
    while speech._cache and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not speech._cache


def test_eight_at_once_are_not_mixed_up() -> None:
    texts = [" ".join(["word"] * count) for count in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(synthesize, texts))
    speech._cache.clear()
    assert together == [synthesize(text) for text in texts]
    assert sorted(together, key=len) == together and len(set(together)) == 8


def test_200_utterances_asked_for_by_8_at_once_are_200_right_sounds() -> None:
    texts = [" ".join(str(number)) for number in range(100, 300)]  # "1 0 0" to "2 9 9"
    with ThreadPoolExecutor(8) as pool:
        sounds = list(pool.map(synthesize, texts))
    assert all(loudness(sound) > 1000 for sound in sounds)
    assert len(set(sounds)) == 200
    speech._cache.clear()
    for index in range(0, 200, 10):  # not mixed up: alone, each sounds the same
        assert synthesize(texts[index]) == sounds[index]


def test_child_starts_without_the_heavy_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for heavy in ("numpy", "torch", "transformers", "gradio", "crnn"):
        (tmp_path / f"{heavy}.py").write_text(f"raise SystemExit('{heavy} was imported')")
    monkeypatch.syspath_prepend(tmp_path)  # the child looks where this process does
    assert loudness(synthesize("light")) > 1000


def test_voices_are_those_of_the_engine() -> None:
    spanish = [voice for voice in voices() if "es" in voice.languages]
    assert spanish and synthesize("uno", voice=spanish[0].id)
    assert all(voice.id and voice.name for voice in voices())


# ---------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize("text", ["", "   ", "\0\n"])
def test_empty_text_is_refused(text: str) -> None:
    with pytest.raises(SpeechError, match="the text is empty"):
        synthesize(text)


def test_text_without_sound_is_refused() -> None:
    with pytest.raises(SpeechError, match=r"Nothing in '\.' can be said"):
        synthesize(".")


def test_too_long_text_is_refused() -> None:
    with pytest.raises(SpeechError, match="2001 characters"):
        synthesize("a" * 2001)


@pytest.mark.parametrize("rate", [79, 451, math.nan])
def test_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(SpeechError, match="from 80 to 450"):
        synthesize("word", rate=rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("voice", ["gmw/en-usa", "en+nobody", ""])
def test_unknown_voice_names_real_ones(voice: str) -> None:
    with pytest.raises(SpeechError, match="has no voice") as caught:
        synthesize("word", voice=voice)
    named = str(caught.value).rstrip(".").split("such as ")[1].split(", ")
    assert set(named) <= {voice.id for voice in voices()}


def test_more_than_can_be_said_at_once_is_said_one_after_the_other(tmp_path: Path) -> None:
    texts, path = [f"{number} apples" for number in range(10)], tmp_path / "sound.wav"
    speak(texts, path)
    at_once = len(samples(path.read_bytes()))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(speech, "LONGEST_TEXT", 25)
        speak(texts, path)
    wav = path.read_bytes()
    assert loudness(wav) > 1000 and at_once < len(samples(wav)) < 2 * at_once  # each part ends with a pause


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="could not be written"):
        speak("word", tmp_path / "no folder" / "sound.wav")


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("import time; time.sleep(60)", "stopped after 1 s"),
        ("import os; os._exit(1)", "stopped unexpectedly"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "stopped unexpectedly"),
        ("import os; os._exit(0)", "wrote no sound file"),
        ("raise RuntimeError('no eSpeak-ng')", "pip install espeakng-loader"),
        ("raise ModuleNotFoundError('no pyttsx3')", "pip install pyttsx3"),
    ],
)
def test_broken_engine_costs_one_utterance(
    engine: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech, "SECONDS_LIMIT", 1.0)
    started = time.perf_counter()
    with monkeypatch.context() as broken:
        (tmp_path / "pyttsx3.py").write_text(engine)
        broken.setattr(sys, "path", [str(tmp_path), *sys.path])
        with pytest.raises(SpeechError, match=message):
            synthesize("word")
    assert time.perf_counter() - started < 3
    monkeypatch.setattr(speech, "SECONDS_LIMIT", 10.0)
    assert loudness(synthesize("word")) > 1000
