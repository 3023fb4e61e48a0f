"""The API pages of every public name, made from docstrings: `python .ci/pages.py FOLDER`.

Exits with an error for a warning of pdoc, and for a public name that has no page or no docstring.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType

import lamina
import pdoc.doc
import pdoc.render
from lamina.backends import registry


def page(name: str, doc: str | None, contents: dict[str, object]) -> pdoc.doc.Module:
    """A page as if all its contents were defined in a module of that name."""
    module = ModuleType(name, doc)
    vars(module).update(contents, __all__=list(contents))
    return pdoc.doc.Module(module)


def public() -> dict[str, pdoc.doc.Module]:
    """The pages by name: one for `lamina`, one for each public module, one for the operations."""
    found = {}
    whole = {name: getattr(lamina, name) for name in lamina.__all__}
    modules = {name: value for name, value in whole.items() if isinstance(value, ModuleType)}
    names = {name: value for name, value in whole.items() if name not in modules}
    del names["ops"], names["__version__"]
    for name, module in modules.items():
        contents = {
            inner: value
            for inner, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not inner.startswith("_")
        }
        if name == "backends":  # the package that can be called
            contents = {name: registry.backends, "BackendStatus": registry.BackendStatus}
        found[f"lamina.{name}"] = page(f"lamina.{name}", module.__doc__, contents)
    operations = {name: getattr(lamina.ops, name) for name in dir(lamina.ops)}
    found["lamina.ops"] = page("lamina.ops", type(lamina.ops).__doc__, operations)
    return {"lamina": page("lamina", lamina.__doc__, names), **found}


def gaps(pages: dict[str, pdoc.doc.Module]) -> list[str]:
    """What is public and has no page, or a page without words."""
    said = {
        f"{name}.{member.name}": member.docstring
        for name, module in pages.items()
        for member in module.members.values()
    }
    said.update({name: module.docstring for name, module in pages.items()})
    wanted = [f"lamina.{name}" for name in lamina.__all__ if name != "__version__"]
    return [name for name in dict.fromkeys([*wanted, *said]) if not said.get(name)]


def write(folder: Path) -> None:
    """Writes the pages."""
    pages = public()
    for name, module in pages.items():
        path = folder / f"{name.replace('.', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pdoc.render.html_module(module, pages), encoding="utf-8")
    (folder / "index.html").write_text(pdoc.render.html_index(pages), encoding="utf-8")
    (folder / "search.js").write_text(pdoc.render.search_index(pages), encoding="utf-8")
    if missing := gaps(pages):
        sys.exit(f"no page, or no docstring: {', '.join(missing)}")
    print(f"{len(pages)} pages in {folder}")


if __name__ == "__main__":
    warnings.simplefilter("error")
    write(Path(sys.argv[1]))
