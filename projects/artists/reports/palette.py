"""Colours and marks that stay apart for colour-blind readers, and the contrast of text on a colour.

Source: Okabe and Ito, "Color Universal Design" (2008), in another order, black softened, yellow last;
contrast after WCAG 2.2, "relative luminance" and "contrast ratio".
"""

from __future__ import annotations

from collections.abc import Sequence

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#333333", "#F0E442")
# The same hues with a contrast of 3 : 1 and more to a white and to a dark page.
LIGHT = ("#0072b2", "#b87400", "#00805e", "#b0568a", "#c24e00", "#2b86b8", "#333333", "#8a8000")
DARK = ("#5ab4f0", "#f0b040", "#35cfa0", "#e8a0cc", "#ff9255", "#9ad6fa", "#d0d4da", "#f0e442")
# Seven marks and eight colours have no common divisor: 56 labels differ before a pair of both returns.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK = "#1f2328"


def colours(count: int, base: Sequence[str] = OKABE_ITO) -> list[str]:
    """`count` hexadecimal colours: the eight of `base`, then darker, then lighter ones, then again."""
    mixtures = ((0.0, 0.0), (0.0, 0.45), (1.0, 0.55))
    shades = [_mix(colour, towards, share) for towards, share in mixtures for colour in base]
    return [shades[index % len(shades)] for index in range(count)]


def _mix(colour: str, towards: float, share: float) -> str:
    """`colour` with a share of black (0) or white (1); the letters of its digits stay as they are, large or small."""
    channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    form = "X" if colour.isupper() else "x"
    return "#" + "".join(f"{round((1 - share) * value + share * 255 * towards):02{form}}" for value in channels)


def mark(index: int) -> tuple[str, str]:
    """(colour, matplotlib marker) of label number `index`."""
    return OKABE_ITO[index % len(OKABE_ITO)], MARKERS[index % len(MARKERS)]


def luminance(rgb: Sequence[float]) -> float:
    """WCAG relative luminance, 0 to 1, of red, green, blue in 0 to 1."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in rgb[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: float, second: float) -> float:
    """WCAG contrast ratio, 1 to 21, of two luminances."""
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


def text_on(rgb: Sequence[float]) -> str:
    """Black or white, whichever contrasts more with the colour `rgb` (0 to 1); always 4.5 : 1 or better."""
    background = luminance(rgb)
    return "black" if contrast(background, 0.0) >= contrast(background, 1.0) else "white"
