"""A section as it runs: its code on a backend, what it prints, and the figures it draws."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING, Any

from ...backends.selection import Choice, get_backend, use_backend
from ...core import figures
from ...core.markup import Markup
from ...kernels.errors import LaminaError
from .section import INSTALL, Section, reduced
from .words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Picture:
    """A figure: its caption, and what it is as SVG, in each language."""

    captions: dict[str, str] = field(default_factory=dict)
    drawn: dict[str, Markup] = field(default_factory=dict)


@dataclass
class Step:
    """A cell that ran. kind: "markdown" or "code". printed: its lines, in English."""

    kind: str
    source: str
    printed: str = ""
    pictures: list[Picture] = field(default_factory=list)


@dataclass
class Performance:
    """A section that ran.

    backend: its name. seconds: in all. changed: the sizes that were reduced, by name: (whole,
    reduced). words: by language.
    """

    section: Section
    backend: str
    words: dict[str, Words]
    seconds: float = 0.0
    steps: list[Step] = field(default_factory=list)
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)

    @property
    def printed(self) -> str:
        """All that it printed, in English."""
        return "".join(step.printed for step in self.steps)


def perform(
    section: Section,
    backend: Choice = None,
    languages: Sequence[str] = ("en",),
    small: bool = False,
    alone: bool = False,
) -> Performance:
    """Runs a section. Raises what its code raises, and LaminaError without matplotlib or jupytext.

    backend: None: the default. small: in its reduced size, as plain loops always are.
    alone: name fonts in the pictures, for files.
    """
    plt = figures.pyplot()
    plt.switch_backend("agg")
    words = {language: Words(section, language) for language in languages}
    names: dict[str, Any] = {"__name__": "__main__"}
    begun = time.perf_counter()
    with use_backend(backend or "auto"), figures.without_fonts(), plt.rc_context():
        warnings.filterwarnings("ignore", ".* is non-interactive")  # plt.show(), until this is over
        name = get_backend().name
        done = Performance(section, name, words, names=names)
        for cell in section.cells():
            step = Step(cell.kind, cell.source)
            done.steps.append(step)
            if cell.kind != "code":
                continue
            source = cell.source
            if small or name == "loops":
                source, changed = reduced(source)
                done.changed.update(changed)
            step.source, output = source, io.StringIO()
            with contextlib.redirect_stdout(output):
                _execute(compile(source, str(section.path), "exec", dont_inherit=True), names)
                step.printed = output.getvalue()
                for number in plt.get_fignums():
                    place = f"f{section.path.stem}-{len(done.steps)}-{number}"
                    step.pictures.append(_picture(plt.figure(number), place, words, alone))
            plt.close("all")
    done.seconds = time.perf_counter() - begun
    return done


def _execute(code: CodeType, names: dict[str, Any]) -> None:
    """Runs a cell. Raises: LaminaError where a package is missing."""
    try:
        exec(code, names)
    except ModuleNotFoundError as error:
        raise LaminaError(f"there is no {error.name}: {INSTALL}") from None


def _picture(figure: Figure, place: str, words: dict[str, Words], alone: bool) -> Picture:
    """A figure in all languages, English first: what is said is replaced where it stands."""
    from matplotlib.text import Text

    made = Picture()
    caption = figure.get_suptitle()
    texts = [(text, text.get_text()) for text in figure.findobj(Text)]
    ticks = [
        (axis, [label.get_text() for label in axis.get_ticklabels()], axis.get_ticklocs())
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        if ax.axison and any(c.isalpha() for t in axis.get_ticklabels() for c in t.get_text())
    ]
    for language, own in words.items():
        for text, english in texts:
            text.set_text(own.line(english))
        for axis, labels, places in ticks:
            axis.set_ticks(places, labels=[own.line(label) for label in labels])
        made.captions[language] = own.line(caption)
        if caption and not alone:
            figure.suptitle("")
        made.drawn[language] = figures.svg(figure, place, keep_fonts=alone)
    return made
