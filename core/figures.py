"""The style of every figure, and a figure as SVG whose colours follow the page around it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..kernels.errors import LaminaError
from .markup import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Each colour with the variable of a page that takes its place, where the page has one. Neighbours
# of SERIES stay apart for eyes that lack one kind of cone; lines differ in their dashes as well.
INK, SOFT, LINE, PAPER = "#1f2328", "#5b6168", "#e3e0da", "#fcfbf9"
BLUE, ORANGE, GREEN, PINK, VIOLET = "#1f6fbf", "#a9590a", "#1c5440", "#df0c82", "#411a93"
SERIES = (BLUE, ORANGE, GREEN, PINK, VIOLET, INK)
DASHES = ("-", (0, (5, 1.6)), (0, (1.4, 1.2)), (0, (6, 1.4, 1.4, 1.4)), (0, (3, 1.2)), (0, (9, 2)))
VARIABLES = {
    INK: "ink", SOFT: "soft", LINE: "line", PAPER: "paper", BLUE: "f1", ORANGE: "f2",
    GREEN: "f3", PINK: "f4", VIOLET: "f5",
}  # fmt: skip
CHINESE = (  # families of fonts with Chinese characters, whichever is installed
    "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "PingFang SC", "Microsoft YaHei", "SimHei",
)  # fmt: skip
WIDTH, HEIGHT = 4.8, 3.0  # inches: words of ten points stay readable on a phone


def style() -> dict[str, Any]:
    """Matplotlib's settings for every figure here, as `matplotlib.style.use` takes them."""
    from cycler import cycler
    from matplotlib.font_manager import fontManager

    known = {font.name for font in fontManager.ttflist}
    return {
        "figure.figsize": (WIDTH, HEIGHT), "figure.dpi": 110, "figure.facecolor": PAPER,
        "figure.constrained_layout.use": True, "figure.titlesize": 10.5, "savefig.dpi": 160,
        "font.family": ["DejaVu Sans", *(name for name in CHINESE if name in known)],
        "font.size": 9.5, "axes.titlesize": 10, "axes.titlelocation": "left",
        "axes.labelsize": 9.5, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5,
        "legend.fontsize": 8.5, "legend.frameon": False, "axes.facecolor": PAPER,
        "text.color": INK, "axes.labelcolor": SOFT, "axes.edgecolor": SOFT, "xtick.color": SOFT,
        "ytick.color": SOFT, "axes.titlecolor": INK, "axes.grid": True, "grid.color": LINE,
        "grid.linewidth": 0.8, "axes.axisbelow": True, "axes.spines.top": False,
        "axes.spines.right": False, "axes.linewidth": 0.8, "lines.linewidth": 1.7,
        "axes.prop_cycle": cycler(color=SERIES) + cycler(linestyle=DASHES),
        "image.cmap": "cividis", "svg.fonttype": "none", "axes.unicode_minus": True,
    }  # fmt: skip


def pyplot() -> Any:
    """Matplotlib's pyplot. Raises: LaminaError where it is not installed, with what mends that."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise LaminaError('figures are matplotlib\'s: pip install "lamina[plot]"') from None
    return plt


def axes(ax: Any = None, **options: Any) -> Any:
    """The axes given, or those of a new figure in the style of all figures."""
    if ax is not None:
        return ax
    plt = pyplot()
    with plt.rc_context(style()):
        return plt.subplots(**options)[1]


@contextmanager
def without_fonts() -> Iterator[None]:
    """Lets words in characters that no installed font has be laid out: a browser has a font."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        yield


def svg(figure: Figure, name: str, keep_fonts: bool = False) -> Markup:
    """A figure as an SVG element: words as words, colours as the page's variables.

    name: what its identifiers begin with, so that several fit into one page.
    keep_fonts: name the fonts that it was laid out with, for a file that stands by itself.
    """
    plt, file = pyplot(), io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), without_fonts():
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    if not keep_fonts:
        text = re.sub(r"(font: [^;\"]*?[\d.]+px )[^;\"]*", r"\1var(--sans, sans-serif)", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable}, {colour})")
    return Markup(text.strip())
