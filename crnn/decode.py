"""From a CTC model's log-probabilities to a `Reading`.

`greedy` takes the best class of each frame (Graves et al. 2006, "Connectionist Temporal Classification", section 3.2).
`beam_search` sums over the paths of each prefix (Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech
Recognition using Bi-Directional Recurrent DNNs", algorithm 1) and takes constraints. Either way the confidence of a
text is its exact probability: the sum over all its paths (CTC forward, Graves et al. 2006, section 4.1).

Log-probabilities are (T, C): T frames, C classes with the blank first, and each frame's exp sums to 1. Where there are
several, of changed views of one picture, a text's probability is the mean of what it is in each. The views' frames may
differ, since it is texts that are compared; characters are placed on the frames of the first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crnn.charset import BLANK, Charset

Floats = NDArray[np.float64]
Frames = tuple[int, int]  # start, end (exclusive)
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in the picture's px
Beams = dict[tuple[int, ...], list[float]]  # prefix: log P of its paths: of all, those that end in a blank, the others

UNLIKELY = math.log(1e-4)  # a class further than this below the best of its frames is not considered
LEADERS = 3  # beam that finds what other views add
SMALLEST = 1e-290  # a sum of products of doubles below this may have lost digits
NOTHING = -1  # the class, after all others, of which no frame has anything: paths start from there
TOGETHER = 32  # pictures in one CTC forward pass: more would be no quicker, and take memory
CANDIDATES = 6  # characters compared at each position of a text, the one read among them


@dataclass(frozen=True)
class Alternative:
    """Another text (or character), with its probability."""

    text: str
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.text, "confidence": round(float(self.confidence), 4)}


@dataclass(frozen=True)
class Character:
    """One character of a reading. The recognizer fills in `box` and `focus`, which need the picture."""

    text: str
    confidence: float  # probability of this character, given that the others are right
    frames: Frames
    alternatives: tuple[Alternative, ...] = ()  # other characters here, best first
    box: Box | None = None
    focus: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)  # (h, w), sums to 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "confidence": round(float(self.confidence), 4),
            "box": _rounded(self.box),
            "alternatives": [alternative.as_dict() for alternative in self.alternatives],
        }


@dataclass(frozen=True)
class Reading:
    """What was read: the text, the probability that all of it is right, its characters, and other texts."""

    text: str
    confidence: float
    characters: tuple[Character, ...] = ()
    alternatives: tuple[Alternative, ...] = ()  # other texts with their probabilities, best first
    box: Box | None = None  # of the line that was found in a larger picture; None where the whole picture was read

    def as_dict(self) -> dict[str, Any]:
        """Plain floats and lists, ready for JSON: text, confidence, box, characters, alternatives."""
        return {
            "text": self.text,
            "confidence": round(float(self.confidence), 4),
            "box": _rounded(self.box),
            "characters": [character.as_dict() for character in self.characters],
            "alternatives": [alternative.as_dict() for alternative in self.alternatives],
        }


def greedy(log_probs: ArrayLike, charset: Charset, others: Sequence[ArrayLike] = ()) -> Reading:
    """The text of the best path: the best class of each frame, repeats joined, blanks dropped.

    Glyphs whose two cases look alike give frames that flip between them, and a plain best path reads one glyph as "cC".
    So the path is taken with both cases of a letter as one class, and each character then gets the case with the larger
    posterior over its frames. Only if the plain best path is more than twice as probable does its text stand: twice,
    because a glyph of unsure case divides its probability between two texts.

    With `others`, each (T', C), of other views of the picture, each gives its text, and the most probable of these is
    read; the rest are the `alternatives`. ValueError if the log-probabilities are of another shape, or have a frame
    without a finite one.
    """
    views = [_checked(view, charset) for view in (log_probs, *others)]
    ways = [_best_way(view, charset) for view in views]
    if others:
        texts = list(dict.fromkeys(tuple(text) for text, _ in ways))
        (_, read), *rest = sorted(zip(_mean_scores(views, texts).tolist(), texts, strict=True), reverse=True)
        ids, spans, alternatives = list(read), alignment(views[0], read), _alternatives(rest, charset)
    else:
        (ids, spans), alternatives = ways[0], []
    score, characters = _characters(views, charset, ids, spans)
    return Reading(charset.decode(ids), _probability(score), characters, tuple(alternatives))


def beam_search(
    log_probs: ArrayLike,
    charset: Charset,
    beam: int = 10,
    top: int = 5,
    allowed: str | None = None,
    length: tuple[int, int] | None = None,
    ignore_case: bool = False,
    others: Sequence[ArrayLike] = (),
) -> Reading:
    """The most probable of the texts that prefix beam search finds, in any view, and up to `top` others.

    The constraints hold while decoding: only `allowed` characters, and `length` (shortest, longest) of them. With
    `ignore_case` the two cases of a letter are one class, their probabilities added, and the text is lower case.
    Confidences are then conditional, P(text) / P(constraint), so those of all texts within the constraint sum to 1.
    ValueError if no text within the constraint fits the frames, or if the charset lacks an allowed character. `others`
    are of other views of the picture, each (T', C).
    """
    if beam < 1:
        raise ValueError(f"A beam of {beam} came, expected at least 1.")
    views = [_checked(view, charset) for view in (log_probs, *others)]
    if ignore_case:
        charset, groups = _folding(charset)
        with np.errstate(divide="ignore"):  # log(0) is -inf, as it should be
            views = [np.log(np.exp(scores) @ groups) for scores in views]
        allowed = None if allowed is None else "".join(map(_fold, allowed))
    if allowed is not None:
        forbidden = np.ones(len(charset), dtype=bool)
        forbidden[[BLANK, *charset.class_ids(allowed)]] = False
        for scores in views:
            scores[:, forbidden] = -np.inf

    within = [_constraint_score(scores, length) for scores in views]
    found = [_texts_within(views[0], beam, length, top)]
    found += [_texts_within(scores, min(LEADERS, beam), length, 0) for scores in views[1:]]  # most are found already
    texts = list(dict.fromkeys(chain.from_iterable(found)))
    exact = _mean_scores(views, texts, within).tolist()
    ranked = sorted(zip(exact, texts, strict=True), reverse=True)
    read, *rest = _alternatives(ranked[: top + 1], charset)
    ids = ranked[0][1]
    _, characters = _characters(views, charset, ids, alignment(views[0], ids), within)
    return Reading(read.text, read.confidence, characters, tuple(rest))


def calibrated(reading: Reading, slope: float, offset: float) -> Reading:
    """The reading with log odds moved along a line, so that its confidence is how often such texts are right.

    Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.1. All doubts shrink, or grow, by the
    same factor: the other texts still share what is left, and so do the other characters. None of them becomes more
    probable than what was read, even where the doubts grow.
    """
    before = min(max(reading.confidence, 1e-12), 1 - 1e-12)
    confidence = 1 / (1 + math.exp(-slope * math.log(before / (1 - before)) - offset))
    factor = (1 - confidence) / (1 - before)

    def scaled(alternatives: tuple[Alternative, ...], most: float) -> tuple[Alternative, ...]:
        return tuple(Alternative(other.text, min(factor * other.confidence, most)) for other in alternatives)

    characters = []
    for character in reading.characters:
        sure = max(0.0, 1 - factor * (1 - character.confidence))
        characters.append(replace(character, confidence=sure, alternatives=scaled(character.alternatives, sure)))
    return Reading(reading.text, confidence, tuple(characters), scaled(reading.alternatives, confidence), reading.box)


def collapse(path: ArrayLike) -> list[int]:
    """The class ids that a path (T,) says: repeats joined, blanks dropped (Graves et al. 2006, section 3.1)."""
    return [class_id for class_id, _ in groupby(np.asarray(path).tolist()) if class_id != BLANK]


def alignment(log_probs: ArrayLike, ids: Sequence[int]) -> list[Frames]:
    """The frames of each character of a text on the text's best path: (first, one past the last).

    The forward pass with the maximum for the sum (Viterbi; Graves et al. 2006, section 4.1).

    Args:
        log_probs: (T, C).
        ids: class ids without blanks; they need no more frames than there are.
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    plain = _runs(scores)
    if [class_id for class_id, _ in plain] == list(ids):  # no path of any text is better
        return [frames for _, frames in plain]
    states = _lattice([[ids]])[:, 0, 0]
    skip = _may_skip(states)
    emitted = np.pad(scores, ((0, 0), (0, 1)), constant_values=-np.inf)[:, states]  # (T, S)
    ways = np.where(states == NOTHING, 0.0, -np.inf)
    moves = np.zeros(emitted.shape, dtype=int)  # how many states back the best path came from
    options = np.full((3, len(ways)), -np.inf)
    for time, frame in enumerate(emitted):
        options[0], options[1, 1:] = ways, ways[:-1]
        options[2, 2:] = np.where(skip[2:], ways[:-2], -np.inf)
        moves[time] = options.argmax(axis=0)
        ways = options.max(axis=0) + frame
    state = len(ways) - 3 + int(ways[-3:-1].argmax())  # the last letter or the blank after it
    path = []
    for back in moves[::-1].tolist():
        path.append(state)
        state -= back[state]
    path.reverse()
    runs = {state: list(run) for state, run in groupby(range(len(path)), key=path.__getitem__)}
    return [(runs[state][0], runs[state][-1] + 1) for state in range(2, 2 * len(ids) + 1, 2)]


def most_likely(pictures: Sequence[Sequence[ArrayLike]]) -> list[float]:
    """For each picture the probability of the most probable of the texts that its views' best paths give; 0 if none.

    The views are (T, C), and every picture has as many. A forward pass for some together takes little longer than one
    picture's.
    """
    likeliest = np.zeros(len(pictures))
    seen = [[np.asarray(view, dtype=np.float64) for view in views] for views in pictures]
    texts = [[collapse(view.argmax(axis=1)) for view in views] for views in seen]
    told = [number for number, own in enumerate(texts) if any(own)]
    told.sort(key=lambda number: len(seen[number][0]))  # those of like width together: all take as long as the longest
    for start in range(0, len(told), TOGETHER):
        some = told[start : start + TOGETHER]
        each = _text_scores([seen[number] for number in some], [texts[number] for number in some])  # (P, V, N)
        means = np.exp(np.logaddexp.reduce(each, axis=1)) / each.shape[1]
        are_texts = np.array([[len(text) > 0 for text in texts[number]] for number in some])
        likeliest[some] = np.where(are_texts & (each[:, 0] > -np.inf), means, 0.0).max(axis=1)
    return likeliest.tolist()


def _checked(log_probs: ArrayLike, charset: Charset) -> Floats:
    scores = np.array(log_probs, dtype=np.float64)  # a copy: constraints are written into it
    if scores.ndim != 2 or len(scores) == 0 or scores.shape[1] != len(charset):
        raise ValueError(
            f"Log-probabilities of shape {scores.shape} came, expected (frames, {len(charset)}): "
            "give one picture's output and the charset of its model."
        )
    if not np.isfinite(scores.max(axis=1)).all():
        raise ValueError("A frame without any finite log-probability came, expected a log-softmax: check the model.")
    return scores


def _alternatives(scored: Sequence[tuple[float, Sequence[int]]], charset: Charset) -> list[Alternative]:
    """Texts with their log P as alternatives, but for impossible ones."""
    return [Alternative(charset.decode(ids), _probability(score)) for score, ids in scored if score > -math.inf]


def _rounded(box: Box | None) -> list[float] | None:
    return None if box is None else [round(float(side), 4) for side in box]


def _probability(score: float) -> float:
    return min(1.0, math.exp(score))  # rounding can lift a sure text just above 1


def _fold(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character  # "İ" would become two


@lru_cache
def _folding(charset: Charset) -> tuple[Charset, Floats]:
    """The charset without case, and (C, its classes): 1 where a class of `charset` has become that one, else 0."""
    folded = Charset("".join(dict.fromkeys(map(_fold, charset.characters))))
    becomes = [BLANK, *folded.encode("".join(map(_fold, charset.characters)))]
    return folded, np.eye(len(folded))[becomes]


def _best_way(scores: Floats, charset: Charset) -> tuple[list[int], list[Frames]]:
    """Class ids and frames of the characters that `greedy` reads in one view."""
    folded, plain = _best_path(scores, _folding(charset)[1]), _runs(scores)
    runs = folded
    if [class_id for class_id, _ in folded] != [class_id for class_id, _ in plain]:
        ways = [[class_id for class_id, _ in way] for way in (folded, plain)]
        folded_score, plain_score = _text_scores([[scores]], [ways])[0, 0]
        runs = plain if plain_score > folded_score + math.log(2) else folded
    return [class_id for class_id, _ in runs], [frames for _, frames in runs]


def _best_path(scores: Floats, groups: Floats) -> list[tuple[int, Frames]]:
    """Class id and frames of each character on the best path over groups of classes, (C, G) as of `_folding`."""
    probabilities = np.exp(scores)
    characters = []
    for label, (start, end) in _runs(probabilities @ groups):
        posterior = probabilities[start:end].sum(axis=0) * groups[:, label]
        characters.append((int(posterior.argmax()), (start, end)))
    return characters


def _runs(scores: NDArray[Any]) -> list[tuple[int, Frames]]:
    """Class id and frames of each character on the plain best path: the best class of each frame, repeats joined."""
    runs, start = [], 0
    for class_id, run in groupby(scores.argmax(axis=1).tolist()):
        end = start + sum(1 for _ in run)
        if class_id != BLANK:
            runs.append((class_id, (start, end)))
        start = end
    return runs


def _texts_within(scores: Floats, beam: int, length: tuple[int, int] | None, top: int) -> list[tuple[int, ...]]:
    """Texts that prefix beam search finds within the constraints, at least one."""
    texts = _prefixes(scores, beam, None)
    if length:  # enough of the best of all may be within; else the search is repeated with a beam for each length
        texts = [text for text in texts if length[0] <= len(text) <= length[1]]
        texts = texts if len(texts) > top else _prefixes(scores, beam, length)
    letters = 2  # two at each frame let a text grow there, however sure the blank is
    while not texts:  # the constraint's probability is not 0, so there is a text: look wider
        texts = _prefixes(scores, max(beam, letters), length, letters)
        letters *= 4
    return texts


def _prefixes(scores: Floats, beam: int, length: tuple[int, int] | None, letters: int = 0) -> list[tuple[int, ...]]:
    """Prefix beam search: the up to `beam` best texts, as class ids; with a `length`, so many of each length.

    A frame extends the prefixes by its likely classes, and by at least so many `letters`.
    """
    shortest, longest = length or (0, len(scores))
    ranking = np.argsort(-scores[:, 1:], axis=1)[:, :beam] + 1  # of the extensions of a prefix no more than `beam` stay
    likely = np.take_along_axis(scores, ranking, axis=1) >= scores.max(axis=1, keepdims=True) + UNLIKELY
    counts = np.maximum(likely.sum(axis=1), letters)
    beams: Beams = {(): [0.0, 0.0, -math.inf]}
    for time, (frame, ranked, count) in enumerate(zip(scores.tolist(), ranking.tolist(), counts.tolist(), strict=True)):
        grown: Beams = {}
        for prefix, (either, _, letter) in beams.items():
            blank, letter = either + frame[BLANK], letter + frame[prefix[-1] if prefix else BLANK]
            grown[prefix] = [_log_add(blank, letter), blank, letter]
        if not count and not length:  # no letter is likely: none of the prefixes changes
            beams = grown
            continue
        least = {  # of the scores that have a place so far
            row: sorted(ends[0] for ends in some.values())[-beam]
            for row, some in _competing(grown, length).items()
            if len(some) >= beam
        }
        for prefix, (either, blank, _) in beams.items():
            if len(prefix) == longest:
                continue
            last = prefix[-1] if prefix else BLANK
            lowest = least.get(len(prefix) + 1 if length else 0, -math.inf)  # of those that would get a place
            for class_id in ranked[:count]:
                # after the same letter only a blank starts a new one: without it the old one goes on
                score = (blank if class_id == last else either) + frame[class_id]
                if score < lowest:
                    continue
                longer = (*prefix, class_id)
                if longer in grown:
                    either_end, blank_end, letter_end = grown[longer]
                    grown[longer] = [_log_add(either_end, score), blank_end, _log_add(letter_end, score)]
                else:
                    grown[longer] = [score, -math.inf, score]
        left = len(scores) - 1 - time
        beams = {}
        for row, some in _competing(grown, length).items():
            if not length or row >= shortest - left:
                best = sorted(some.items(), key=itemgetter(1), reverse=True)[:beam]
                beams.update(pair for pair in best if pair[1][0] > -math.inf)
    return list(beams)


def _competing(grown: Beams, length: tuple[int, int] | None) -> dict[int, Beams]:
    """The prefixes that compete for places: with a `length` those of each length, lest the probable crowd out all."""
    if not length:
        return {0: grown}
    rows: dict[int, Beams] = defaultdict(dict)
    for prefix, ends in grown.items():
        rows[len(prefix)][prefix] = ends
    return rows


def _log_add(first: float, second: float) -> float:
    """log(exp(first) + exp(second)); for single floats several times faster than numpy's."""
    if first < second:
        first, second = second, first
    return first if second < first - 40 or second == -math.inf else first + math.log1p(math.exp(second - first))


def _constraint_score(scores: Floats, length: tuple[int, int] | None) -> float:
    """log P(the text has a length within `length`), of any text with None. ValueError if there is no such text."""
    frames = len(scores)
    shortest, longest = length or (0, frames)
    if not 0 <= shortest <= longest:
        raise ValueError(f"The length {shortest}-{longest} was asked for, expected 0 <= shortest <= longest: mend it.")
    best, score = scores.max(axis=1, keepdims=True), -math.inf
    if np.isfinite(best).all():  # else a frame has forbidden classes alone
        probabilities = np.exp(scores - best)
        allowed = probabilities.sum(axis=1, keepdims=True)
        score = best.sum() + np.log(allowed).sum()
        if length:
            score += _length_score(probabilities / allowed, shortest, min(longest, frames))
    if not np.isfinite(score):
        raise ValueError(
            f"No text of {shortest} to {longest} of the allowed characters fits the picture's {frames} frames "
            "(one frame a character, one more between equal ones): ask for fewer, or give a wider picture."
        )
    return float(score)


def _length_score(probabilities: Floats, shortest: int, longest: int) -> float:
    """log P(a text has from `shortest` to `longest` characters), of probabilities (T, C): each frame's sum is 1."""
    share = float(_length_shares(probabilities, longest)[shortest:].sum())
    if share > SMALLEST:
        return math.log(share)
    return float(np.logaddexp.reduce(_length_scores(probabilities, longest)[shortest:], initial=-math.inf))


def _length_shares(probabilities: Floats, longest: int) -> Floats:
    """P of each text length from 0 to `longest`, (longest + 1,), of probabilities (T, C)."""
    classes = probabilities.shape[1]
    begin = 1.0 - np.eye(classes)  # a character begins at each class that differs from the last frame's
    begin[:, BLANK] = 0.0
    stay = np.eye(classes)
    stay[:, BLANK] = 1.0
    moves = np.concatenate([begin, stay], axis=1)
    # P of all paths so far that wrote `row - 1` characters and whose last frame has class `column`
    ways = np.zeros((longest + 2, classes))
    ways[1, BLANK] = 1.0
    moved = np.empty((longest + 2, 2 * classes))
    begun, stayed, here = moved[:-1, :classes], moved[1:, classes:], ways[1:]
    for frame in probabilities:
        np.matmul(ways, moves, out=moved)
        np.add(begun, stayed, out=here)
        here *= frame
    shares: Floats = here.sum(axis=1)
    return shares


def _length_scores(probabilities: Floats, longest: int) -> Floats:
    """As `_length_shares`, the logarithms: slower, and right where doubles are too coarse."""
    other = 1.0 - np.eye(probabilities.shape[1])
    other[:, BLANK] = 0.0
    # each row of ways has a scale of its own: P is ways[row] * exp(scale[row])
    ways, scale = np.zeros((longest + 1, probabilities.shape[1])), np.full((longest + 1, 1), -math.inf)
    ways[0, BLANK], scale[0] = 1.0, 0.0
    with np.errstate(divide="ignore"):  # log(0) is -inf, as it should be
        for frame in probabilities:
            started = (ways @ other)[:-1]
            ways[:, BLANK] = ways.sum(axis=1)
            common = np.maximum(scale[1:], scale[:-1])
            common[common == -math.inf] = 0.0
            ways[1:] *= np.exp(scale[1:] - common)
            ways[1:] += started * np.exp(scale[:-1] - common)
            scale[1:] = common
            ways *= frame
            peak = ways.max(axis=1, keepdims=True)
            scale += np.log(peak)
            ways /= np.where(peak, peak, 1.0)
        lengths: Floats = np.log(ways.sum(axis=1)) + scale[:, 0]
    return lengths


def _lattice(texts: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.int64]:
    """The states of each text, (S, P, N), of N texts of each of P pictures.

    They are its characters with blanks around, between `NOTHING` at the start, so often that all texts end with the
    same states, and one at the end: S = 2 * longest + 3. In reverse they are the states of the text in reverse.
    """
    longest = max(len(text) for own in texts for text in own)
    columns = []
    for text in chain.from_iterable(texts):
        column = [NOTHING] * (2 * (longest - len(text)) + 1)
        for class_id in text:
            column += (BLANK, class_id)
        columns.append([*column, BLANK, NOTHING])
    return np.array(np.array(columns).T, order="C").reshape(2 * longest + 3, len(texts), -1)


def _may_skip(states: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a path may come to a state from the one before the last: to a letter that differs from that one."""
    skip = states != BLANK
    skip[2:] &= states[2:] != states[:-2]
    return skip


def _mean_scores(views: Sequence[Floats], texts: Sequence[Sequence[int]], within: Sequence[float] = ()) -> Floats:
    """log of the mean over the views of each text's P, (N,); given that it is within a constraint of these log P.

    -inf where a text doesn't fit the first view's frames, on which it would be placed.
    """
    each = _text_scores([views], [texts])[0]  # (V, N)
    if within:
        each -= np.array(within)[:, None]
    if len(views) == 1:
        return each[0]
    mean = np.logaddexp.reduce(each, axis=0) - math.log(len(views))
    return np.where(each[0] > -np.inf, mean, -np.inf)


def _text_scores(pictures: Sequence[Sequence[Floats]], texts: Sequence[Sequence[Sequence[int]]]) -> Floats:
    """log P of each of a picture's N texts in each of its V views, (P, V, N): the CTC forward pass over all at once.

    It runs from both ends and meets in the middle, which takes half the steps: with its frames in reverse, a picture is
    one more picture, of the text in reverse. Sure blanks, which add nothing to any text, are put at the end of a view
    with an odd number of frames, or fewer than another.
    """
    views = [view for own in pictures for view in own]
    half, per_picture = (max(map(len, views)) + 1) // 2, len(pictures[0])
    logs = np.full((2 * half, views[0].shape[1] + 1, len(views)), -np.inf)  # the last class is NOTHING
    logs[:, BLANK] = 0.0
    for number, view in enumerate(views):
        logs[: len(view), :NOTHING, number] = view
    ends = np.concatenate([logs[:half], logs[::-1][:half]], axis=2)
    forwards = _lattice(texts)
    states = np.concatenate([forwards, forwards[::-1]], axis=1)  # (S, 2 * P, N)
    of_class, of_picture = states % logs.shape[1] * states.shape[1], np.arange(states.shape[1])[:, None]

    def emitted(frames: Floats) -> Floats:
        each = frames.reshape(half, -1, per_picture).take(of_class + of_picture, axis=1)  # (T / 2, S, 2 * P, N, V)
        return each.reshape(half, len(states), -1)

    starts, skip = (
        np.repeat(one, per_picture, axis=2).reshape(len(one), -1) for one in (states == NOTHING, _may_skip(states))
    )
    total = _forward(emitted(np.exp(ends)), starts, skip)
    scores = np.log(total) if total.min() > SMALLEST else _forward_in_logs(emitted(ends), starts, skip)
    return scores.reshape(*forwards.shape[1:], per_picture).transpose(0, 2, 1)


def _forward(emitted: Floats, starts: NDArray[np.bool_], skip: NDArray[np.bool_]) -> Floats:
    """P of all paths, (N,), from one of `starts` (S, 2 * N) until they meet, of what the frames give, (T, S, 2 * N).

    The second half of the columns are the first half's texts in reverse.
    """
    ways = np.zeros((len(starts) + 2, starts.shape[1]))
    ways[2:] = starts
    two_before, before, here = ways[:-2], ways[1:-1], ways[2:]
    may_skip, moved = skip.astype(float), np.empty_like(here)
    for frame in emitted:
        np.multiply(two_before, may_skip, out=moved)
        moved += before
        here += moved
        here *= frame
    half = starts.shape[1] // 2
    met: Floats = (here + before + two_before * may_skip)[:, :half] * here[::-1, half:]
    return np.asarray(met.sum(axis=0))


def _forward_in_logs(emitted: Floats, starts: NDArray[np.bool_], skip: NDArray[np.bool_]) -> Floats:
    """As `_forward`, with logarithms in and out: slower, and right where doubles are too coarse."""
    ways = np.full((len(starts) + 2, starts.shape[1]), -np.inf)
    ways[2:] = np.where(starts, 0.0, -np.inf)
    two_before, before, here = ways[:-2], ways[1:-1], ways[2:]
    no_skip = np.where(skip, 0.0, -np.inf)

    def moved() -> Floats:
        return np.logaddexp(here, np.logaddexp(before, two_before + no_skip))

    for frame in emitted:
        here[:] = moved() + frame
    half = starts.shape[1] // 2
    return np.logaddexp.reduce(moved()[:, :half] + here[::-1, half:], axis=0)


def _characters(
    views: Sequence[Floats],
    charset: Charset,
    ids: Sequence[int],
    spans: Sequence[Frames],
    within: Sequence[float] = (),
) -> tuple[float, tuple[Character, ...]]:
    """log P of a text, and its characters at their frames in the first view; `within` as in `_mean_scores`.

    A character's confidence is its posterior given the rest of the text: P(text) over the sum of P(text with another
    character here). Compared are the few characters with the best posterior in its frames: the others' share is tiny.
    """
    letters = views[0][:, BLANK + 1 :]
    peaks = np.array([letters[start:end].max(axis=0) for start, end in spans]).reshape(len(ids), letters.shape[1])
    ranking = (np.argsort(-peaks, axis=1)[:, :CANDIDATES] + BLANK + 1).tolist()
    likely = (peaks >= peaks.max(axis=1, keepdims=True) + UNLIKELY).sum(axis=1).tolist()
    choices = [
        list(dict.fromkeys([class_id, *ranked[:count]]))
        for class_id, ranked, count in zip(ids, ranking, likely, strict=True)
    ]
    texts = [[*ids[:place], choice, *ids[place + 1 :]] for place in range(len(ids)) for choice in choices[place]]
    score, *chances = _mean_scores(views, [ids, *texts], within).tolist()

    characters = []
    for span, choice in zip(spans, choices, strict=True):
        weights, chances = chances[: len(choice)], chances[len(choice) :]
        total = reduce(_log_add, weights)
        read, *others = (
            Alternative(charset.decode([class_id]), _probability(weight - total))
            for class_id, weight in zip(choice, weights, strict=True)
            if weight > -math.inf  # a double may not fit here
        )
        others.sort(key=lambda other: -other.confidence)
        characters.append(Character(read.text, read.confidence, span, tuple(others)))
    return score, tuple(characters)
