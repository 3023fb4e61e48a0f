"""Markup from Python: whatever is no markup yet is escaped."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import Any

VOID = ("br", "col", "hr", "input", "link", "meta", "wbr")  # HTML elements that have no end tag


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: Any) -> Markup:
    """Any value as markup; None is nothing, a sequence is its parts."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return Markup("")
    if isinstance(value, (list, tuple)):
        return Markup("".join(map(text, value)))
    return Markup(escape(str(value)))


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element. An attribute's underscores are dashes; one that is None or False is left out.

    >>> element("a", "1 < 2", href="#x", class_="row", aria_label=None)
    '<a href="#x" class="row">1 &lt; 2</a>'
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        written.append(f" {key}" if value is True else f' {key}="{escape(str(value))}"')
    start = f"<{name}{''.join(written)}>"
    return Markup(start if name in VOID else f"{start}{text(children)}</{name}>")


def part(package: str, name: str) -> Markup:
    """The text of a file of a package: rules, or a script."""
    return Markup(files(package).joinpath(name).read_text(encoding="utf-8"))


def document(title: str, language: str, body: Any, style: Markup) -> str:
    """A page that needs no network. style: what it has beside the rules of all pages."""
    base = part(__package__, "base.css")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),  # or a browser asks a server for one
        element("title", title),
        element("style", base, style),
    )
    return f"<!doctype html>\n{element('html', head, element('body', body), lang=language)}\n"
