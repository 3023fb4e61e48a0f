"""The course as one HTML page: text, formulas, code, what it printed, and its pictures."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from typing import Any

from ...core.markup import Markup, document, element, part
from ...kernels.errors import LaminaError
from ...kernels.host import processor
from .performance import Performance, Picture, Step
from .section import INSTALL
from .words import Words

OTHER = {"en": "中文", "zh": "English"}  # what a page calls the other one
WIDTH = re.compile(r'<svg([^>]*? )width(?=="([\d.]+)pt")')
SCALE = 1.65  # pixels a point at most: words of a figure are as large as those around it
HEADING = re.compile(r"# .*\n*")  # of a section's first cell: the page has its own


def page(done: Sequence[Performance], language: str, other: str = "") -> str:
    """The page as HTML. other: the file of the same page in the other language, if there is one."""
    words = Words(None, language)
    title = words.line("Neural networks from the ground up")
    chapters = groupby(done, key=lambda each: each.section.number.split(".")[0])
    contents = []
    for chapter, own in chapters:
        entries = element("ol", [_entry(each, language) for each in own])
        contents.append(element("li", element("b", chapter), entries))
    link = element("a", OTHER[language], href=other) if other else Markup("")
    header = element(
        "header",
        element("p", "lamina course ", link, class_="brand"),
        element("h1", title),
        element("p", words.line(
            "Every idea of the course as a short program, run and measured here: change a line, and"
            " see what becomes of it."
        ), class_="lead"),
        element("p", words.line(
            "A line that ends in “reduced” says what a quick run, and one on plain loops, takes"
            " instead."
        )),
        element("p", _machine(done, words), class_="machine"),
        element("nav", element("ol", contents, class_="contents"), aria_label="Contents"),
    )  # fmt: skip
    body = element("main", header, *(_section(each, language, words) for each in done))
    style = part(__package__, "course.css")
    return document(title, language, body, style)


def _entry(one: Performance, language: str) -> Markup:
    told = [element("span", one.section.number), " ", one.words[language].title]
    return element("li", element("a", told, href=f"#{one.section.path.stem}"))


def _machine(done: Sequence[Performance], words: Words) -> str:
    """Backend, processor, versions and time, in a line."""
    parts = [
        f"{words.line('backend')} {', '.join(dict.fromkeys(each.backend for each in done))}",
        f"{processor()}, {os.cpu_count()} {words.line('cores')}",
        f"lamina {version('lamina')}, NumPy {version('numpy')}, Python {platform.python_version()}",
        f"{sum(each.seconds for each in done):.0f} s, {datetime.now(UTC):%Y-%m-%d}",
    ]
    return "; ".join(parts)


def _section(one: Performance, language: str, page_words: Words) -> Markup:
    words, texts, parts = one.words[language], 0, list[Markup]()
    for step in one.steps:
        if step.kind == "markdown":
            text = words.text(texts, step.source)
            parts.append(rendered(HEADING.sub("", text, count=1) if texts == 0 else text))
            texts += 1
        else:
            parts += [_code(step), *_printed(step, words), *_pictures(step, language)]
    changed = "; ".join(f"{name} = {to}, {page_words.line('instead of')} {of}"
                        for name, (of, to) in one.changed.items())  # fmt: skip
    told = f"{one.backend}, {one.seconds:.1f} s, course/{one.section.path.name}"
    if changed:
        told += f". {page_words.line('Reduced')}: {changed}"
    title = element("h2", element("small", one.section.number), " ", words.title)
    return element(
        "section", title, *parts, element("p", told, class_="ran"), id=one.section.path.stem
    )


def _code(step: Step) -> Markup:
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    made = Markup(highlight(step.source, PythonLexer(), HtmlFormatter(nowrap=True)))
    return element("div", element("pre", element("code", made)), class_="wide code", tabindex=0)


def lines(step: Step, words: Words) -> list[str]:
    """What a cell printed, in a language."""
    return [words.line(line) for line in step.printed.rstrip("\n").split("\n") if step.printed]


def _printed(step: Step, words: Words) -> Iterator[Markup]:
    """Lines with tabs as a table, the others as they are."""
    for table, own in groupby(lines(step, words), key=lambda line: "\t" in line):
        if not table:
            said = "\n".join(own)
            columns = " columns" if "   " in said else ""  # which must not break
            yield element("pre", said, class_=f"said{columns}")
            continue
        head, *rows = (line.split("\t") for line in own)
        body = [element("tr", element("th", first, scope="row"), [element("td", c) for c in others])
                for first, *others in rows]  # fmt: skip
        made = element(
            "table",
            element("thead", element("tr", [element("th", cell, scope="col") for cell in head])),
            element("tbody", body),
        )
        yield element("div", made, class_="wide", tabindex=0)


def _pictures(step: Step, language: str) -> Iterator[Markup]:
    for picture in step.pictures:
        yield _figure(picture, language)


def _figure(picture: Picture, language: str) -> Markup:
    caption = picture.captions[language]
    drawn = WIDTH.sub(
        lambda m: f'<svg role="img" style="max-width: {float(m[2]) * SCALE:.0f}px"{m[1]}width',
        picture.drawn[language], count=1,
    )  # fmt: skip
    inner = element("div", Markup(drawn), class_="drawn")
    return element("figure", element("figcaption", caption), inner)


def rendered(text: str) -> Markup:
    """Markdown with formulas between dollars as HTML with MathML. Raises: LaminaError."""
    try:
        from latex2mathml.converter import convert
        from markdown_it import MarkdownIt
        from mdit_py_plugins.dollarmath import dollarmath_plugin
    except ImportError:
        raise LaminaError(INSTALL) from None

    def formula(content: str, options: dict[str, Any]) -> str:
        mode = "block" if options["display_mode"] else "inline"
        return str(convert(content, display=mode))

    reader = MarkdownIt("commonmark", {"html": False}).use(dollarmath_plugin, renderer=formula)
    return Markup(reader.render(text))
