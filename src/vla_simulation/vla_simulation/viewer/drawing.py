"""Colours, fonts and small helpers that all drawn pictures share."""

import importlib.util
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import ImageFont

Colour = tuple[int, int, int]

BACKGROUND: Final = (24, 28, 33)
PANEL: Final = (32, 37, 43)
GRID: Final = (40, 46, 53)
STATION: Final = (122, 134, 146)
CLUTTER: Final = (62, 70, 79)
ROBOT: Final = (231, 236, 241)
TRAIL: Final = (86, 180, 233)
SCAN: Final = (240, 96, 96)
INTENT: Final = (255, 190, 60)
WHITE: Final = (238, 242, 246)
MUTED: Final = (140, 150, 160)
GOOD: Final = (90, 210, 140)
BAD: Final = (240, 96, 96)

_HANGUL_FONTS: Final = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansKR-Regular.ttf",
    "NotoSansKR-Regular.otf",
    "NanumGothic.ttf",
    "UnDotum.ttf",
    "malgun.ttf",
    "AppleSDGothicNeo.ttc",
)
_HANGUL_FIRST, _HANGUL_LAST = 0xAC00, 0xD7A3
_VOWELS, _FINALS = 21, 28
# Revised Romanization of Korean (Ministry of Culture and Tourism, 2000), letter by letter.
_ROMAN_INITIALS: Final = "g,kk,n,d,tt,r,m,b,pp,s,ss,,j,jj,ch,k,t,p,h"
_ROMAN_VOWELS: Final = "a,ae,ya,yae,eo,e,yeo,ye,o,wa,wae,oe,yo,u,wo,we,wi,yu,eu,ui,i"
_ROMAN_FINALS: Final = ",k,k,k,n,n,n,t,l,k,m,l,l,l,p,l,m,p,p,t,t,ng,t,t,k,t,p,t"


@lru_cache
def font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib where it is installed, so that pictures look alike."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return ImageFont.load_default(size_px)  # type: ignore[return-value]
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(
        str(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name), size_px
    )


def sentence_font(sentence: str, size_px: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """A bold font that has the sentence's letters, and the sentence as it is to be written.

    Where no font of the machine has Hangul, Korean is written in Latin letters.
    """
    sentence = unicodedata.normalize("NFC", sentence)
    if not any(_is_hangul(letter) for letter in sentence):
        return sentence, font(size_px, bold=True)
    hangul = _hangul_font(size_px)
    if hangul is not None:
        return sentence, hangul
    return romanized(sentence), font(size_px, bold=True)


def romanized(text: str) -> str:
    """Korean syllables in Latin letters, syllable by syllable; everything else as it is."""
    return "".join(_romanized_syllable(letter) for letter in unicodedata.normalize("NFC", text))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour between two: 0 gives the first, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def colour_of(rgb: tuple[float, float, float]) -> Colour:
    """A colour of 0 to 1 per channel as one of 0 to 255."""
    red, green, blue = (round(255 * min(max(channel, 0.0), 1.0)) for channel in rgb)
    return red, green, blue


def is_bright(colour: Colour) -> bool:
    """Whether dark letters are easier to read on it than white ones (Rec. 601 luma)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140


@lru_cache
def _hangul_font(size_px: int) -> ImageFont.FreeTypeFont | None:
    for name in _HANGUL_FONTS:
        try:
            return ImageFont.truetype(name, size_px)
        except OSError:
            continue
    return None


def _is_hangul(letter: str) -> bool:
    return _HANGUL_FIRST <= ord(letter) <= _HANGUL_LAST


def _romanized_syllable(letter: str) -> str:
    if not _is_hangul(letter):
        return letter
    rest, final = divmod(ord(letter) - _HANGUL_FIRST, _FINALS)
    initial, vowel = divmod(rest, _VOWELS)
    letters = ((_ROMAN_INITIALS, initial), (_ROMAN_VOWELS, vowel), (_ROMAN_FINALS, final))
    return "".join(table.split(",")[index] for table, index in letters)
