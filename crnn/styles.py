"""The families of pictures that the generator draws: one table, each row the ranges of a kind of public generators."""

from __future__ import annotations

from dataclasses import dataclass, field

from crnn.charset import NAMED

Odds = dict[str, float]  # name of an effect -> probability (faces and grounds: weight)

# (characters, shortest and longest text): weight. Most generators leave look-alikes out, and so do most rows here.
ALPHABETS = {
    ("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789", 3, 7): 3.0,
    (NAMED["alphanumeric"], 3, 8): 2.5,
    ("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 3, 7): 2.5,
    (NAMED["upper"] + NAMED["digits"], 4, 8): 1.5,
    ("abcdefghijkmnpqrstuvwxyz23456789", 3, 8): 2.5,
    (NAMED["lower"] + NAMED["digits"], 4, 8): 1.0,
    (NAMED["digits"], 3, 8): 2.5,
    (NAMED["digits"] + "1177", 3, 8): 2.5,  # a 1 without a foot, leaning, is taken for a 7 before all else
    (NAMED["upper"], 3, 8): 3.0,
    (NAMED["lower"], 3, 10): 2.5,
    (NAMED["letters"], 3, 8): 1.0,
}
WORD_SHARE = 0.12  # of texts are pronounceable words


@dataclass(frozen=True)
class Style:
    """A family of pictures. Lengths are in cap heights, pairs are the ends of a range.

    Attributes:
        share: how often it is drawn, relative to the others.
        height: of the picture, px.
        cap: cap height over the picture's height.
        mixed_fonts: probability of a font of its own for each glyph.
        mixed_colours: probability of a colour of its own for each glyph.
        rotation: of a glyph, up to so many degrees to either side.
        stretched: probability that each glyph, once turned, is made to fill a box: as wide as the font's advance, from
            the capitals' height down to its own foot. A 1 gets as wide as a 7, a small letter as high as a capital.
        corners: how far each corner of a glyph may move, in the glyph's own width and height.
        scale: of a glyph's width and of its height, relative.
        lift: of a glyph off the baseline, up to so much to either side.
        gap: added between glyphs.
        touching: probability that glyphs are pushed together until their ink meets.
        boxed: probability that the boxes of the turned glyphs' ink are set side by side, without the font's bearings.
        blanks: probability of blanks between glyphs, at about half of the places.
        condensed: probability that a line too long for its picture gets narrower instead of lower; half of these lines
            are made narrower besides, and so are those that fit.
        faces, grounds: weights, one is chosen.
        behind: clutter under the text. strike: in the text's own ink. cut: in paper colour through the text. over: in
            other colours on top.
        warps, finishes: probabilities, each is drawn by itself.
        shadow, decoys: probability of a shadow or ghost, and of faint small letters behind.
        faint, opacity: probability of ink that lets the ground shine through, and of how much ink there is then.
        own_colour: probability that clutter behind or over the text has an ink's colour, however faint that is.
    """

    share: float = 1.0
    height: tuple[int, int] = (28, 80)
    cap: tuple[float, float] = (0.33, 0.8)
    mixed_fonts: float = 0.15
    mixed_colours: float = 0.1
    rotation: float = 8
    stretched: float = 0.0
    corners: float = 0.0
    scale: tuple[float, float] = (0.95, 1.05)
    lift: float = 0.05
    gap: tuple[float, float] = (-0.03, 0.35)
    touching: float = 0.0
    boxed: float = 0.2
    blanks: float = 0.1
    condensed: float = 0.5
    faces: Odds = field(default_factory=lambda: {"solid": 8, "bold": 1, "thin": 1})
    grounds: Odds = field(default_factory=lambda: {"plain": 8, "gradient": 1, "clouds": 1})
    behind: Odds = field(default_factory=dict)
    strike: Odds = field(default_factory=dict)
    cut: Odds = field(default_factory=dict)
    over: Odds = field(default_factory=dict)
    warps: Odds = field(default_factory=dict)
    finishes: Odds = field(default_factory=lambda: {"jpeg": 0.25, "blur": 0.15, "low_resolution": 0.05, "border": 0.05})
    shadow: float = 0.03
    decoys: float = 0.0
    faint: float = 0.25
    opacity: tuple[float, float] = (0.5, 1.0)
    own_colour: float = 0.4


STYLES: dict[str, Style] = {
    "plain": Style(share=1.5),
    "tilted": Style(share=1.5, rotation=22, lift=0.2, scale=(0.85, 1.15), gap=(-0.1, 0.5), mixed_fonts=0.4,
                    finishes={"jpeg": 0.25, "smooth": 0.1, "one_bit": 0.1}),
    "scattered": Style(share=2.5, cap=(0.2, 0.55), gap=(0.0, 1.6), lift=0.8, rotation=45, scale=(0.8, 1.2),
                       mixed_fonts=0.3, mixed_colours=0.4,
                       behind={"rings": 0.25, "ripples": 0.2, "lines": 0.3, "lattice": 0.3, "specks": 0.3},
                       over={"lines": 0.25, "rings": 0.25, "ripples": 0.1}, finishes={"jpeg": 0.25}),
    "poster": Style(share=2, rotation=32, lift=0.25, scale=(0.75, 1.25), mixed_colours=0.8, mixed_fonts=0.7,
                    behind={"curves": 0.4, "rings": 0.4, "ticks": 0.3, "lines": 0.3},
                    over={"curves": 0.2, "specks": 0.2, "ticks": 0.3, "rings": 0.2},
                    grounds={"plain": 3, "gradient": 2, "clouds": 1}, finishes={"jpeg": 0.4, "static": 0.1}),
    "cloth": Style(share=1.5, warps={"sine": 0.7, "crossed_sine": 0.5}, rotation=5, gap=(-0.08, 0.1), touching=0.3,
                   strike={"waves": 0.2, "lines": 0.2}, behind={"specks": 0.2}, finishes={"jpeg": 0.3, "salt": 0.2}),
    "leaning": Style(share=1.5, corners=0.2, rotation=28, scale=(0.8, 1.25), gap=(-0.22, 0.2), cap=(0.45, 0.8),
                     mixed_fonts=0.2, strike={"arcs": 0.4, "specks": 0.3}, over={"arcs": 0.3, "specks": 0.3},
                     finishes={"smooth": 0.6, "jpeg": 0.3, "contrast": 0.2}),
    "warped": Style(share=7, stretched=0.25, corners=0.25, rotation=30, scale=(0.85, 1.25), gap=(-0.25, 0.2),
                    cap=(0.5, 0.95), over={"arcs": 0.6, "specks": 0.7}, finishes={"smooth": 0.6, "jpeg": 0.25},
                    faint=0.7, opacity=(0.25, 1.0), own_colour=0.8, boxed=0.6, blanks=0.5, condensed=0.9),
    "pressed": Style(share=7, stretched=0.9, corners=0.18, rotation=30, scale=(0.85, 1.15), lift=0.02,
                     gap=(-0.25, 0.0), cap=(0.5, 0.9), mixed_fonts=0.05, mixed_colours=0.05,
                     faces={"solid": 5, "bold": 2}, grounds={"plain": 1},
                     over={"arcs": 0.8, "specks": 0.8}, finishes={"smooth": 0.7, "jpeg": 0.2},
                     faint=0.5, opacity=(0.4, 1.0), own_colour=0.95, boxed=1.0, blanks=0.5, condensed=1.0),
    "struck": Style(share=2.5, rotation=12, lift=0.1, behind={"curves": 0.2, "long_lines": 0.2},
                    strike={"lines": 0.35, "long_lines": 0.35, "waves": 0.3, "curves": 0.2, "tapered": 0.4,
                            "arcs": 0.2, "rings": 0.1},
                    warps={"sine": 0.35, "slant": 0.2, "scatter": 0.15},
                    finishes={"jpeg": 0.3, "one_bit": 0.15, "negative": 0.15, "sharpen": 0.08, "edges": 0.06}),
    "water": Style(warps={"lens": 0.7, "sine": 0.35, "crossed_sine": 0.3}, behind={"lattice": 0.3},
                   strike={"curves": 0.25, "long_lines": 0.2, "tapered": 0.4}, touching=0.3, shadow=0.3,
                   grounds={"plain": 2, "gradient": 2}, finishes={"jpeg": 0.4, "blur": 0.2}),
    "touching": Style(share=1.5, touching=0.9, gap=(-0.1, 0.03), lift=0.15, rotation=12, scale=(0.85, 1.15),
                      warps={"sine": 0.5, "elastic": 0.2}, strike={"waves": 0.25, "long_lines": 0.2},
                      cut={"waves": 0.15},
                      finishes={"jpeg": 0.3, "salt": 0.15, "blur": 0.15}),
    "matrix": Style(share=1.5, height=(32, 80), faces={"dotted": 5, "bitmap": 3}, corners=0.03, cap=(0.42, 0.8),
                    warps={"slant": 0.4, "sine": 0.35}, strike={"waves": 0.12, "specks": 0.15},
                    finishes={"jpeg": 0.3, "low_resolution": 0.1, "contrast": 0.2}),
    "rubber": Style(warps={"elastic": 0.9, "slant": 0.3}, strike={"waves": 0.3, "curves": 0.3}, cut={"curves": 0.15},
                    rotation=12, touching=0.25),
    "static": Style(grounds={"plain": 1, "grain": 3}, behind={"specks": 0.3}, strike={"specks": 0.4},
                    cut={"specks": 0.4},
                    finishes={"salt": 0.5, "static": 0.5, "coloured_noise": 0.3, "jpeg": 0.2}, rotation=12, lift=0.3,
                    faces={"solid": 4, "bold": 2, "speckled": 2}),
    "wallpaper": Style(grounds={"gradient": 1, "clouds": 2, "blocks": 2, "grain": 1, "weave": 2}, mixed_colours=0.3,
                       behind={"lines": 0.2, "rings": 0.2}, strike={"lines": 0.2}, shadow=0.2, rotation=15,
                       finishes={"jpeg": 0.5, "sharpen": 0.1, "blur": 0.15, "contrast": 0.1}),
    "decoys": Style(decoys=1.0, rotation=30, strike={"waves": 0.5}, mixed_colours=0.5, lift=0.15),
    "outline": Style(share=4, faces={"hollow": 3, "shaded": 8, "dashed": 1, "stencil": 1, "solid": 1}, shadow=0.2,
                     rotation=15, cap=(0.35, 0.8), behind={"curves": 0.2, "long_lines": 0.1},
                     strike={"lines": 0.2, "waves": 0.15, "curves": 0.2}, over={"curves": 0.15},
                     warps={"sine": 0.3, "elastic": 0.2},
                     finishes={"emboss": 0.15, "edges": 0.12, "jpeg": 0.3}),
    "polarity": Style(finishes={"negative": 0.4, "part_negative": 0.5, "jpeg": 0.2},
                      strike={"rings": 0.2, "lines": 0.2},
                      cut={"rings": 0.25}, rotation=15, grounds={"plain": 3, "blocks": 2}),
    "lattice": Style(share=0.7, strike={"lattice": 0.6, "web": 0.15}, cut={"lattice": 0.35}, rotation=6,
                     cap=(0.45, 0.75), behind={"lattice": 0.3}, finishes={"jpeg": 0.3, "one_bit": 0.2},
                     faces={"solid": 2, "bold": 2}),
    "web": Style(strike={"web": 0.75, "specks": 0.4, "lines": 0.3}, warps={"sine": 0.4, "torn": 0.2, "slant": 0.2},
                 rotation=12, touching=0.3, cap=(0.45, 0.75), finishes={"jpeg": 0.4, "one_bit": 0.4}),
    "tiny": Style(height=(15, 26), cap=(0.45, 0.75), rotation=8, behind={"specks": 0.2, "lines": 0.2},
                  strike={"lines": 0.15}, finishes={"jpeg": 0.3, "palette": 0.2, "border": 0.15}),
    "smeared": Style(share=2, faces={"bold": 2, "speckled": 2, "solid": 3},
                     warps={"scatter": 0.7, "sine": 0.4, "torn": 0.15},
                     strike={"long_lines": 0.3, "waves": 0.15, "tapered": 0.4}, shadow=0.5, touching=0.4,
                     gap=(-0.1, 0.1),
                     grounds={"plain": 1, "gradient": 2}, finishes={"blur": 0.2, "smooth": 0.2, "jpeg": 0.4}),
    "screen": Style(share=0.8, finishes={"screen": 0.9, "blur": 0.5, "jpeg": 0.5, "coloured_noise": 0.2},
                    warps={"slant": 0.7}, strike={"lines": 0.3}, rotation=10,
                    grounds={"plain": 2, "gradient": 1, "blocks": 1}),
}  # fmt: skip
SHARES = {name: style.share for name, style in STYLES.items()}
MIX_SHARE = 0.3  # of pictures take each property from one of two styles
