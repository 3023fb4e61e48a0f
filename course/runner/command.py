"""`lamina course`: the list, one section in the terminal, or all of them as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...core.command.console import honest
from ...kernels.errors import unknown

LANGUAGES = {"en": ("en",), "zh": ("zh",), "both": ("en", "zh")}
FILES = {"en": "course.html", "zh": "course-zh.html"}


def course(
    section: Annotated[
        list[str] | None,
        typer.Argument(help="2.8, vectorization, a chapter such as 2, or all; none: the list."),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="As in lamina train; loops takes reduced sizes, and says so.")
    ] = "auto",
    language: Annotated[str, typer.Option(help="en, zh (Chinese), or both for the page.")] = "en",
    out: Annotated[
        Path, typer.Option(help="The folder for pictures, notebooks, or the page.")
    ] = Path("lamina-course"),
    notebook: Annotated[
        bool, typer.Option("--notebook", help="Write Jupyter notebooks instead of running.")
    ] = False,
    small: Annotated[
        bool, typer.Option("--reduced", help="In smaller sizes, for a quick look.")
    ] = False,
) -> None:
    """The course, runnable: lists its sections, runs one, or makes a page of all.

    What it needs is lamina's extra `course`. `all` writes one HTML file that needs no network.
    """
    with honest():
        from ...backends.selection import preferred
        from .section import chosen, sections
        from .words import Words

        if language not in LANGUAGES:
            raise unknown("language", language, tuple(LANGUAGES))
        languages = LANGUAGES[language]
        if not section:
            for each in sections():
                typer.echo(f"{each.number:<9} {each.name:<24} {Words(each, languages[0]).title}")
            return
        found = chosen(section)
        name = "" if backend == "auto" else preferred(backend).backend.name
        if notebook:
            from .notebook import write

            for each in found:
                for one in languages:
                    folder = out / one if language == "both" else out
                    typer.echo(f"wrote {write(each, folder, one, name, small)}")
        elif "all" in section:
            _page(out, backend, languages, small)
        else:
            for each in found:
                _show(each, out, backend, languages[0], small)


def _show(section: object, out: Path, backend: str, language: str, small: bool) -> None:
    """One section in the terminal, its pictures in files."""
    from rich.console import Console
    from rich.markdown import Markdown

    from ...core.columns import table
    from ...kernels.files import write
    from .page import HEADING, lines
    from .performance import perform
    from .section import Section

    assert isinstance(section, Section)
    done = perform(section, backend, (language,), small, alone=True)
    words, texts, drawn = done.words[language], 0, 0
    console = Console(soft_wrap=False)
    typer.echo(f"{section.number}  {words.title}  ({done.backend}, {done.seconds:.1f} s)")
    for name, (whole, to) in done.changed.items():
        typer.echo(f"reduced: {name} = {to} instead of {whole}")
    for step in done.steps:
        if step.kind == "markdown":
            text = words.text(texts, step.source)
            console.print(Markdown(HEADING.sub("", text, count=1) if texts == 0 else text))
            texts += 1
        rows = [tuple(line.split("\t")) for line in lines(step, words)]
        while rows:
            count = next((i for i, row in enumerate(rows) if len(row) != len(rows[0])), len(rows))
            typer.echo(table(rows[:count]))
            rows = rows[count:]
        for picture in step.pictures:
            drawn += 1
            out.mkdir(parents=True, exist_ok=True)
            path = out / f"{section.path.stem}-{drawn}.svg"
            write(path, f"{picture.drawn[language]}\n")
            typer.echo(f"wrote {path}: {picture.captions[language]}")


def _page(out: Path, backend: str, languages: tuple[str, ...], small: bool) -> None:
    """All sections, and a page in each language."""
    from ...kernels.files import write
    from .page import page
    from .performance import perform
    from .section import sections

    done = []
    for each in sections():
        done.append(perform(each, backend, languages, small))
        typer.echo(f"{each.number:<9} {each.name:<24} {done[-1].seconds:6.1f} s")
    out.mkdir(parents=True, exist_ok=True)
    for one in languages:
        other = [FILES[each] for each in languages if each != one]
        write(out / FILES[one], page(done, one, *other))
        typer.echo(f"wrote {out / FILES[one]}: {len(done)} sections on {done[0].backend}"
                   f" in {sum(each.seconds for each in done):.0f} s")  # fmt: skip
