"""A `Reading` -> the words that say it -> a WAV, spoken by pyttsx3 in a process of its own.

The engine is never used inside the asking process: from several threads it hangs or crashes, and its `runAndWait()` can
return before the file is there. So each utterance is one fresh child: this very file run as a script. That is why only
the standard library is imported here, and `crnn.decode` (NumPy) for type checking alone: the child should start in a
tenth of a second.
"""

from __future__ import annotations

import ctypes
import functools
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
import wave
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from crnn.decode import Character, Reading

STYLES = ("plain", "spell", "phonetic")
UNSURE_BELOW = 0.8  # a character less sure than this is named again, with its closest rival

RATES = (80, 450)  # words a minute: espeak ignores what lies outside
LONGEST_TEXT = 2000  # characters: nine minutes when all are digits at the slowest rate, 24 MB
CACHE_BYTES = 32 * 2**20  # a spelled CAPTCHA is about 0.2 MB
CACHE_SECONDS = 240  # the page promises that sounds are gone after five minutes
SECONDS_LIMIT = 10.0  # for one utterance, which takes 0.1 s on an idle core; a second more for every 400 characters


class SpeechError(RuntimeError):
    """Nothing could be spoken. The message is one sentence for the user: what happened and what to do."""


class Voice(NamedTuple):
    """One voice of the engine; `id` is what `speak(voice=...)` takes."""

    id: str
    name: str
    languages: tuple[str, ...]


class Sound(NamedTuple):
    """What was said lately."""

    wav: bytes
    until: float  # of time.monotonic(), when it is to be forgotten


# ---------------------------------------------------------------- words

ICAO = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey x-ray yankee zulu"
).split()
SYMBOLS = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


class Language(NamedTuple):
    """All that is said in one language. Its key in `LANGUAGES` is also the id of an espeak voice."""

    nothing: str
    capital: str  # the name of a letter -> of its capital
    letter: str  # the name of a letter -> when a digit or a sign is the rival: "zero, or the letter o"
    capital_letter: str
    choice: str
    ordinals: list[str]
    position: str  # an ordinal -> where a character stands
    position_beyond: str  # a number -> the same, past the last ordinal
    digits: list[str]
    symbols: list[str]  # in the order of SYMBOLS
    letters: dict[str, str] = {}  # only those that the voice does not say well by itself
    icao: dict[str, str] = {}  # the same of the ICAO words, spelled so that they are said as ICAO has them said


LANGUAGES = {
    "en": Language(
        nothing="No text found.",
        capital="capital {}",
        letter="the letter {}",
        capital_letter="the capital letter {}",
        choice="{}: {}, or {}",
        ordinals="First Second Third Fourth Fifth Sixth Seventh Eighth Ninth Tenth".split(),
        position="{} character",
        position_beyond="Character {}",
        digits="zero one two three four five six seven eight nine".split(),
        symbols=(
            "space|exclamation mark|double quote|hash|dollar sign|percent sign|ampersand|apostrophe|left parenthesis|"
            "right parenthesis|asterisk|plus sign|comma|hyphen|dot|slash|colon|semicolon|less than sign|equals sign|"
            "greater than sign|question mark|at sign|left square bracket|backslash|right square bracket|caret|"
            "underscore|backquote|left curly bracket|vertical bar|right curly bracket|tilde"
        ).split("|"),
    ),
    "es": Language(
        nothing="No se encontró texto.",
        capital="{} mayúscula",
        letter="la letra {}",
        capital_letter="la letra {} mayúscula",
        choice="{}: {}, o {}",
        ordinals="Primer Segundo Tercer Cuarto Quinto Sexto Séptimo Octavo Noveno Décimo".split(),
        position="{} carácter",
        position_beyond="Carácter {}",
        digits="cero uno dos tres cuatro cinco seis siete ocho nueve".split(),
        symbols=(
            "espacio|signo de exclamación|comillas dobles|almohadilla|signo de dólar|signo de porcentaje|"
            "y comercial|apóstrofo|abrir paréntesis|cerrar paréntesis|asterisco|signo más|coma|guion|punto|barra|"
            "dos puntos|punto y coma|signo menor que|signo igual|signo mayor que|signo de interrogación|arroba|"
            "abrir corchete|barra invertida|cerrar corchete|acento circunflejo|guion bajo|acento grave|abrir llave|"
            "barra vertical|cerrar llave|virgulilla"
        ).split("|"),
        letters={"y": "i griega"},  # alone it is said as the word "y", like i
        icao={"c": "charli", "e": "eco", "j": "yuliet", "m": "maik", "y": "yanqui"},
    ),
    "fr": Language(
        nothing="Aucun texte trouvé.",
        capital="{} majuscule",
        letter="la lettre {}",
        capital_letter="la lettre {} majuscule",
        choice="{} : {}, ou {}",
        ordinals="Premier Deuxième Troisième Quatrième Cinquième Sixième Septième Huitième Neuvième Dixième".split(),
        position="{} caractère",
        position_beyond="Caractère {}",
        digits="zéro un deux trois quatre cinq six sept huit neuf".split(),
        symbols=(
            "espace|point d'exclamation|guillemet double|dièse|signe dollar|signe pourcent|esperluette|apostrophe|"
            "parenthèse ouvrante|parenthèse fermante|astérisque|signe plus|virgule|trait d'union|point|"
            "barre oblique|deux-points|point-virgule|signe inférieur|signe égal|signe supérieur|"
            "point d'interrogation|arobase|crochet ouvrant|barre oblique inversée|crochet fermant|"
            "accent circonflexe|tiret bas|accent grave|accolade ouvrante|barre verticale|accolade fermante|tilde"
        ).split("|"),
        letters={"y": "i grec"},  # "Y majuscule" is said like "I majuscule"
        icao={"n": "novembère", "r": "roméo"},
    ),
    "de": Language(
        nothing="Kein Text gefunden.",
        capital="großes {}",
        letter="der Buchstabe {}",
        capital_letter="der große Buchstabe {}",
        choice="{}: {}, oder {}",
        ordinals="Erstes Zweites Drittes Viertes Fünftes Sechstes Siebtes Achtes Neuntes Zehntes".split(),
        position="{} Zeichen",
        position_beyond="Zeichen {}",
        digits="null eins zwei drei vier fünf sechs sieben acht neun".split(),
        symbols=(
            "Leerzeichen|Ausrufezeichen|Anführungszeichen|Raute|Dollarzeichen|Prozentzeichen|Und-Zeichen|Apostroph|"
            "runde Klammer auf|runde Klammer zu|Sternchen|Pluszeichen|Komma|Bindestrich|Punkt|Schrägstrich|"
            "Doppelpunkt|Strichpunkt|Kleiner-als-Zeichen|Gleichheitszeichen|Größer-als-Zeichen|Fragezeichen|"
            "Klammeraffe|eckige Klammer auf|umgekehrter Schrägstrich|eckige Klammer zu|Zirkumflex|Unterstrich|"
            "Gravis|geschweifte Klammer auf|senkrechter Strich|geschweifte Klammer zu|Tilde"
        ).split("|"),
        icao={
            "c": "tscharli",
            "e": "ecko",
            "f": "foxtrott",
            "h": "hotell",
            "j": "dschuliett",
            "m": "maik",
            "w": "wiski",
            "x": "ex-rey",
            "y": "jänki",
        },
    ),
}


def names(style: str = "spell", language: str = "en", ignore_case: bool = False) -> dict[str, str]:
    """Return the spoken name of each of the 95 printable ASCII characters, in style "spell" or "phonetic"."""
    table = _language(language)
    named = dict(zip(SYMBOLS, table.symbols, strict=True))
    named |= {str(digit): word for digit, word in enumerate(table.digits)}
    for icao, code in zip(ICAO, range(ord("a"), ord("z") + 1), strict=True):
        lower, upper = chr(code), chr(code).upper()
        word = table.icao.get(lower, icao)
        named[lower] = word if style == "phonetic" else table.letters.get(lower, lower)
        name = word.capitalize() if style == "phonetic" else table.letters.get(lower, upper)
        named[upper] = name if ignore_case else table.capital.format(name)
    return named


def words(
    reading: Reading | str,
    style: str = "spell",
    ignore_case: bool = False,
    *,
    language: str = "en",
    unsure_below: float = UNSURE_BELOW,
) -> str:
    """Return the words that say a text: its characters one by one, then those that the reader was not sure of.

    >>> words("A7b")
    'capital A, 7, b'
    >>> words("A7b", "phonetic")
    'capital Alpha, seven, bravo'
    >>> words("A7b", "plain")
    'A7b'

    With `ignore_case`, capitals are not told from small letters, neither in names nor in what counts as unsure.
    Raises ValueError for an unknown style or language.
    """
    if style not in STYLES:
        raise ValueError(f"Speech style {style!r} is not known: choose one of {', '.join(STYLES)}.")
    text = reading if isinstance(reading, str) else reading.text
    if not text:
        return _language(language).nothing
    named = _names_in(text, style, language, ignore_case)
    if style != "phonetic":
        named |= {figure: figure for figure in "0123456789"}  # sounds the same and is quicker to read on the page
    if style == "plain" and any(character.isalnum() for character in text):
        said = text
    else:  # a comma is what makes the voice pause
        said = ", ".join(_name(character, named) for character in text)
    doubts = [] if isinstance(reading, str) else _doubts(reading, style, ignore_case, language, unsure_below)
    return ". ".join([said, *doubts])


def _doubts(reading: Reading, style: str, ignore_case: bool, language: str, unsure_below: float) -> list[str]:
    """Return a sentence for each unsure character, such as "Third character: zero, or the letter o"."""
    table, sentences = _language(language), []
    for index, character in enumerate(reading.characters):
        rival = _rival(character, ignore_case, unsure_below)
        if rival is None:
            continue
        ordinal = table.ordinals[index : index + 1]
        where = table.position.format(*ordinal) if ordinal else table.position_beyond.format(index + 1)
        pair = _told_apart(character.text, rival, style, ignore_case, language)
        sentences.append(table.choice.format(where, *pair))
    return sentences


def _rival(character: Character, ignore_case: bool, unsure_below: float) -> str | None:
    """Return the likeliest other character, or None when the reader is sure enough or has no other."""

    def same(text: str) -> bool:
        return text == character.text or (ignore_case and text.lower() == character.text.lower())

    others = [other for other in character.alternatives if other.text and not same(other.text)]
    sure = character.confidence + sum(
        other.confidence for other in character.alternatives if same(other.text) and other.text != character.text
    )
    return others[0].text if others and sure < unsure_below else None


def _told_apart(first: str, second: str, style: str, ignore_case: bool, language: str) -> tuple[str, str]:
    """Return two names; a letter beside a digit or a sign is called a letter, as "o" and "zero" are easily confused."""
    named = _names_in(first + second, style, language, ignore_case)
    pair = (_name(first, named), _name(second, named))
    if style == "phonetic" or first.isalpha() == second.isalpha():
        return pair
    table, small = _language(language), names("spell", language, ignore_case=True)

    def called(character: str, name: str) -> str:
        if not character.isalpha():
            return name
        form = table.capital_letter if character.isupper() and not ignore_case else table.letter
        return form.format(_name(character, small))

    return called(first, pair[0]), called(second, pair[1])


def _names_in(text: str, style: str, language: str, ignore_case: bool) -> dict[str, str]:
    """Return `names`, and those of the other capitals in a text."""
    named = names(style, language, ignore_case)
    if not ignore_case:
        capital = _language(language).capital
        named |= {character: capital.format(character) for character in set(text) - named.keys() if character.isupper()}
    return named


def _name(character: str, named: dict[str, str]) -> str:
    """Return the name of a character, for one beyond ASCII its own sound or its Unicode name."""
    return named.get(character) or (
        character if character.isalnum() else unicodedata.name(character, "unknown character").lower()
    )


def _language(code: str) -> Language:
    if code not in LANGUAGES:
        raise ValueError(f"Language {code!r} is not known: choose one of {', '.join(LANGUAGES)}.")
    return LANGUAGES[code]


# ---------------------------------------------------------------- sound, in the asking process

_cache: OrderedDict[tuple[str, int, str | None], Sound] = OrderedDict()  # least recently used first
_forgetter: threading.Timer | None = None  # one for all sounds, while there is any
_cache_lock = threading.Lock()
_running = threading.BoundedSemaphore(2)  # children at a time: more only slow each other down on two cores


def speak(text: str | Sequence[str], path: str | Path, rate: int = 150, voice: str | None = None) -> None:
    """Write `text`, spoken, as a WAV file; of several, one after the other, however many they are.

    The other arguments are those of `synthesize`. Raises SpeechError.
    """
    parts = [text] if isinstance(text, str) else _together(text)
    wav = _joined([synthesize(part, rate, voice) for part in parts])
    try:
        Path(path).write_bytes(wav)
    except OSError as error:
        raise SpeechError(f"The sound could not be written to {path} ({error.strerror}): choose another.") from error


def _together(texts: Sequence[str]) -> list[str]:
    """As many texts in one as can be said at once: each utterance takes a process of its own."""
    parts: list[str] = []
    for text in texts:
        if parts and len(parts[-1]) + len(". ") + len(text) <= LONGEST_TEXT:
            parts[-1] += f". {text}"
        else:
            parts.append(text)
    return parts


def _joined(wavs: Sequence[bytes]) -> bytes:
    """Sounds of one engine as one."""
    file = io.BytesIO()
    with wave.open(file, "wb") as joined:
        for number, wav in enumerate(wavs):
            with wave.open(io.BytesIO(wav)) as sound:
                if not number:
                    joined.setparams(sound.getparams())
                joined.writeframes(sound.readframes(sound.getnframes()))
    return file.getvalue()


def synthesize(text: str, rate: int = 150, voice: str | None = None) -> bytes:
    """Return `text`, spoken, as the bytes of a WAV file; said again, it comes from memory. Any thread may call it.

    `rate` is in words a minute, 80 to 450. `voice` is the id of one of `voices()`; espeak also takes a language ("es")
    and a variant ("en+f3"); None is the engine's own choice. Raises SpeechError.
    """
    text = _speakable(text)
    if not RATES[0] <= rate <= RATES[1]:
        raise SpeechError(f"A rate of {rate} words a minute was asked for: choose one from {RATES[0]} to {RATES[1]}.")
    key = (text, round(rate), voice)
    wav = _cached(key)
    if wav is None:
        with _running:
            wav = _cached(key) or _spoken(*key)  # the same may have been said while this one waited
        _remember(key, wav)
    return wav


@functools.cache
def voices() -> tuple[Voice, ...]:
    """Return the voices that the engine has, asked for once. Raises SpeechError when there is no engine."""
    listed = json.loads(_ask({"task": "voices"}, SECONDS_LIMIT))
    return tuple(Voice(id, name, tuple(languages)) for id, name, languages in listed)


def _speakable(text: str) -> str:
    """Return `text` without what the engine chokes on: control characters (NUL ends a C string) and lone surrogates."""
    text = "".join(" " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text).strip()
    if not text:
        raise SpeechError("There is nothing to say, the text is empty: give some words, or spell the characters.")
    if len(text) > LONGEST_TEXT:
        raise SpeechError(f"The text has {len(text)} characters, more than {LONGEST_TEXT}: say it in parts.")
    return text


def _cached(key: tuple[str, int, str | None]) -> bytes | None:
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key].wav
    return None


def _remember(key: tuple[str, int, str | None], wav: bytes) -> None:
    """Keep a sound for a few minutes: what was read is nobody's business after that."""
    with _cache_lock:
        if _forgetter is None:
            _forget_in(CACHE_SECONDS)
        _cache[key] = Sound(wav, time.monotonic() + CACHE_SECONDS)
        while sum(len(sound.wav) for sound in _cache.values()) > CACHE_BYTES:
            _cache.popitem(last=False)


def _forget_in(seconds: float) -> None:
    """Begin to wait for the end of the sound to be forgotten next."""
    global _forgetter
    _forgetter = threading.Timer(seconds, _forget)
    _forgetter.daemon = True  # nor does it hold up the end of the program
    _forgetter.start()


def _forget() -> None:
    """Forget all sounds whose time is over."""
    global _forgetter
    with _cache_lock:
        _forgetter, now = None, time.monotonic()
        for key in [key for key, sound in _cache.items() if sound.until <= now]:
            del _cache[key]
        if _cache:
            _forget_in(min(sound.until for sound in _cache.values()) - now)


def _spoken(text: str, rate: int, voice: str | None) -> bytes:
    """Have a child speak, and check what it wrote: it may end well and still leave no file, or one without sound."""
    with tempfile.TemporaryDirectory(prefix="speech-") as folder:
        file = Path(folder, "speech.wav")
        request = {"task": "speak", "text": text, "rate": rate, "voice": voice, "file": str(file)}
        _ask(request, SECONDS_LIMIT + len(text) / 400)
        wav = file.read_bytes() if file.exists() else b""
    try:
        with wave.open(io.BytesIO(wav)) as sound:
            samples = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise SpeechError("The speech engine wrote no sound file: try again, or choose another voice.") from error
    if not any(samples):  # a lone full stop gives silence, or no frame at all
        raise SpeechError(f"Nothing in {text[:40]!r} can be said: give letters or digits, or spell the characters.")
    return wav


def _ask(request: dict[str, Any], seconds: float) -> str:
    """Run one child on `request` and return what it printed. Raises SpeechError when it fails, dies or hangs."""
    request["sys.path"] = sys.path  # -I keeps the child free of surprises; it still finds what this process can import
    try:
        child = subprocess.run(
            [sys.executable, "-I", __file__],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SpeechError(f"The speech engine hung and was stopped after {seconds:.0f} s: try again.") from error
    except OSError as error:
        raise SpeechError(f"The speech engine could not be started ({error.strerror}): try again later.") from error
    if child.returncode == _EXPLAINED:
        raise SpeechError(child.stderr.strip().splitlines()[-1])
    if child.returncode:
        raise SpeechError(f"The speech engine stopped unexpectedly (exit status {child.returncode}): try again.")
    return child.stdout


# ---------------------------------------------------------------- sound, in the child

_EXPLAINED = 3  # exit status of a child whose last line on stderr is the sentence for the user


def _child() -> None:
    """Do the request that comes as JSON on stdin, in a fresh process that ends right after."""
    request = json.load(sys.stdin)
    sys.path[:] = request["sys.path"]
    status = 0
    try:
        engine = _engine()
        if request["task"] == "voices":
            found = [(voice.id, voice.name, list(voice.languages)) for voice in engine.getProperty("voices")]
            print(json.dumps(found), flush=True)
        else:
            _save(engine, **{name: request[name] for name in ("text", "rate", "voice", "file")})
    except SpeechError as error:
        print(error, file=sys.stderr, flush=True)
        status = _EXPLAINED
    os._exit(status)  # skips espeak's own way out, which can fail an assertion


def _engine() -> Any:
    """Return pyttsx3's engine; on Linux with the system's espeak-ng, or else that of the package espeakng-loader."""
    try:
        if sys.platform.startswith("linux"):
            try:
                ctypes.CDLL("libespeak-ng.so.1")
            except OSError:
                import espeakng_loader

                # without its data the library ends the process
                os.environ["ESPEAK_DATA_PATH"] = espeakng_loader.get_data_path()
                ctypes.CDLL(espeakng_loader.get_library_path())  # pyttsx3 then finds it by its name
    except ImportError:
        pass  # an older espeak may do; if not, pyttsx3 says so
    try:
        import pyttsx3

        return pyttsx3.init()
    except Exception as error:  # each platform's driver fails in its own way
        package = "pyttsx3" if isinstance(error, ModuleNotFoundError) else "espeakng-loader"
        reason = str(error).rstrip(".!").replace("\n", " ")
        raise SpeechError(
            f"No voice was found ({reason}): run `pip install {package}`, or install espeak-ng on the system."
        ) from error


def _save(engine: Any, text: str, rate: int, voice: str | None, file: str) -> None:
    """Speak `text` into `file` and return when it is written."""
    if engine.driver_name == "espeak":
        _tune_espeak(engine, rate, voice)
    else:
        if voice is not None and voice not in [known.id for known in engine.getProperty("voices")]:
            raise _unknown_voice(engine, voice)
        engine.setProperty("rate", rate)
        engine.setProperty("voice", voice or engine.getProperty("voice"))
    finished = threading.Event()
    engine.connect("finished-utterance", lambda name, completed: finished.set())
    engine.save_to_file(text, file)
    engine.runAndWait()
    if engine.driver_name == "espeak":
        finished.wait()  # its runAndWait may return before the file is written; how long to wait is the parent's affair


def _tune_espeak(engine: Any, rate: int, voice: str | None) -> None:
    """Set voice and rate past pyttsx3, which neither tells that a voice is unknown nor sees that a rate got lost."""
    from pyttsx3.drivers import _espeak

    if voice is not None:
        unknown = _espeak.SetVoiceByName(voice.encode(errors="replace")) != _espeak.EE_OK
        _espeak.Synchronize()
        current = _espeak.GetCurrentVoice().contents.identifier.decode()
        if unknown or ("+" in voice) != ("+" in current):  # an unknown variant is dropped in silence
            raise _unknown_voice(engine, voice)
    for _ in range(100):
        _espeak.Synchronize()
        _espeak.SetParameter(_espeak.RATE, rate, 0)
        _espeak.Synchronize()
        if _espeak.GetParameter(_espeak.RATE) == rate:
            return
    raise SpeechError(f"The speech engine did not take the rate of {rate} words a minute: try again.")


def _unknown_voice(engine: Any, voice: str) -> SpeechError:
    from difflib import get_close_matches

    known = [known.id for known in engine.getProperty("voices")]
    some = get_close_matches(voice, known, n=4, cutoff=0.4) or known[:4]
    return SpeechError(f"The engine has no voice {voice!r}: choose one of its {len(known)}, such as {', '.join(some)}.")


if __name__ == "__main__":
    _child()
