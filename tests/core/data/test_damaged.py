"""A hundred damaged or odd files: each is read rightly, or refused with line, column and option."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.data import engine
from lamina.core.data.database import Reading

NAN = float("nan")


def rows(*cells: str, sep: str = ",", times: int = 6) -> str:
    """Lines of the cells, each with a number from 0 before them."""
    return "".join(f"{i}{sep}{sep.join(cells)}\n" for i in range(times))


def numbers(values: list[str], end: str = "\n", sep: str = ",") -> str:
    """A table of a column `a` with these cells, a column of numbers, and a label."""
    body = "".join(f"{v}{sep}{i}{sep}{'pq'[i % 2]}{end}" for i, v in enumerate(values))
    return f"a{sep}n{sep}y{end}{body}"


def quoted(values: list[str]) -> str:
    """The same with quotes around the cells of `a`."""
    return numbers([f'"{v}"' for v in values])


MANY = [str(i + 0.5) for i in range(12)]
DE = ["0,5", "1,25", "-2,75", "10,0", "1.234,5", "7"]
A = "a"  # the column that is looked at

# name: (the file, options, what comes of column a: its features in the first rows)
READ: dict[str, tuple[Any, dict[str, Any], list[float]]] = {
    "plain": (numbers(MANY), {}, [0.5, 1.5]),
    "CRLF": (numbers(MANY, "\r\n"), {}, [0.5, 1.5]),
    "CR alone": (numbers(MANY, "\r"), {}, [0.5, 1.5]),
    "mixed line ends": (numbers(MANY, "\r\n") + "12.5,3,p\n", {}, [0.5, 1.5]),
    "mixed line ends, LF first": (numbers(MANY) + "12.5,3,p\r\n", {}, [0.5, 1.5]),
    "no end of the last line": (numbers(MANY)[:-1], {}, [0.5, 1.5]),
    "blank lines between": (numbers(MANY).replace("\n", "\n\n"), {}, [0.5, 1.5]),
    "blank lines before": ("\n\n" + numbers(MANY), {}, [0.5, 1.5]),
    "blank lines behind": (numbers(MANY) + "\n\n\n", {}, [0.5, 1.5]),
    "UTF-8 with a mark": (b"\xef\xbb\xbf" + numbers(MANY).encode(), {}, [0.5, 1.5]),
    "UTF-16": (numbers(MANY).encode("utf-16"), {}, [0.5, 1.5]),
    "UTF-16, big end first": (
        b"\xfe\xff" + numbers(MANY).encode("utf-16-be"), {}, [0.5, 1.5],
    ),
    "UTF-16 of tabs": (numbers(MANY, sep="\t").encode("utf-16"), {}, [0.5, 1.5]),
    "UTF-32": (numbers(MANY).encode("utf-32"), {}, [0.5, 1.5]),
    "Latin-1, named": (
        numbers(MANY).replace("p\n", "é\n").encode("latin-1"), {"encoding": "latin-1"}, [0.5, 1.5],
    ),
    "Windows, named": (
        numbers(MANY).replace("p\n", "€\n").encode("cp1252"), {"encoding": "cp1252"}, [0.5, 1.5],
    ),
    "semicolons": (numbers(MANY, sep=";"), {}, [0.5, 1.5]),
    "tabs": (numbers(MANY, sep="\t"), {}, [0.5, 1.5]),
    "bars": (numbers(MANY, sep="|"), {}, [0.5, 1.5]),
    "carets, named": (numbers(MANY, sep="^"), {"delimiter": "^"}, [0.5, 1.5]),
    "tabs, named": (numbers(MANY, sep="\t"), {"delimiter": "tab"}, [0.5, 1.5]),
    "sep= of semicolons": ("sep=;\n" + numbers(MANY, sep=";"), {}, [0.5, 1.5]),
    "sep= of commas": ("sep=,\n" + numbers(MANY), {}, [0.5, 1.5]),
    "sep= in quotes, CRLF": ('"sep=;"\r\n' + numbers(MANY, "\r\n", ";"), {}, [0.5, 1.5]),
    "sep= with a mark": ("\ufeffSEP=\t\n" + numbers(MANY, sep="\t"), {}, [0.5, 1.5]),
    "decimal commas": (numbers(DE, sep=";"), {}, [0.5, 1.25, -2.75, 10, 1234.5, 7]),
    "decimal commas and tabs": (numbers(DE, sep="\t"), {}, [0.5, 1.25, -2.75, 10, 1234.5]),
    "decimal commas in quotes": (quoted(["0,5", "1,25", "2,75"] * 3), {}, [0.5, 1.25, 2.75]),
    "decimal commas, named": (
        numbers(["1,234", "5,678"] * 5, sep=";"), {"decimal": ","}, [1.234, 5.678],
    ),
    "thousands, named": (
        numbers(["1,234", "5,678"] * 5, sep=";"), {"decimal": "."}, [1234, 5678],
    ),
    "thousands in a file of commas": (quoted(["1,234", "5,678"] * 5), {}, [1234, 5678]),
    "thousands and fractions": (quoted(["1,234.5", "987.25"] * 5), {}, [1234.5, 987.25]),
    "thousands of full stops": (numbers(["1.234", "0,5"] * 5, sep=";"), {}, [1234, 0.5]),
    "thousands of blanks": (numbers(["1 234,5", "2 000"] * 5, sep=";"), {}, [1234.5, 2000]),
    "thousands of narrow blanks": (numbers(["1\u202f234", "2\u202f000"] * 5), {}, [1234, 2000]),
    "thousands of apostrophes": (numbers(["1'234.5", "2'000"] * 5), {}, [1234.5, 2000]),
    "millions": (quoted(["1,234,567", "12,345,678"] * 5), {}, [1234567, 12345678]),
    "dollars": (quoted(["$1,234.50", "$7"] * 5), {}, [1234.5, 7]),
    "euros behind": (numbers(["3,50 €", "12,00 €"] * 5, sep=";"), {}, [3.5, 12]),
    "a code of a currency": (numbers(["EUR 3.50", "EUR 12.00"] * 5), {}, [3.5, 12]),
    "negative dollars": (quoted(["-$5", "$7"] * 5), {}, [-5, 7]),
    "percent": (numbers(["5%", "12.5 %"] * 5), {}, [5, 12.5]),
    "typographic minus": (numbers(["−5", "7", "–3"] * 4), {}, [-5, 7, -3]),
    "accountants' negatives": (quoted(["(1,234)", "5"] * 5), {}, [-1234, 5]),
    "plus": (numbers(["+5", "-7"] * 5), {}, [5, -7]),
    "exponents": (numbers(["1e3", "2.5E-1"] * 5), {}, [1000, 0.25]),
    "bare points": (numbers([".5", "7."] * 5), {}, [0.5, 7]),
    "blanks around": (numbers([" 5 ", "7"] * 5), {}, [5, 7]),
    "quotes around": (quoted(["5", "7"] * 5), {}, [5, 7]),
    "a quote in a quote": (numbers(MANY).replace("p", '"p ""x"" q"'), {}, [0.5, 1.5]),
    "a separator in a quote": (numbers(MANY).replace("p", '"p,q"'), {}, [0.5, 1.5]),
    "a line end in a quote": (numbers(MANY).replace("p", '"p\nq"'), {}, [0.5, 1.5]),
    "a line end in the header": (numbers(MANY).replace(",n,", ',"n\nm",'), {}, [0.5, 1.5]),
    "a quote within a word": (numbers(MANY).replace("p", 'p"q'), {}, [0.5, 1.5]),
    "no header, said": (numbers(MANY)[6:], {"header": False, "column": "c1"}, [0.5, 1.5]),
    "years as names, said": (
        "2019,2020,y\n" + numbers(MANY)[6:], {"header": True, "column": "2019"}, [0.5, 1.5],
    ),
    "numbers among the names": (
        "a,2019,2020,y\n" + "".join(f"{i}.5,{i},3,{'pq'[i % 2]}\n" for i in range(9)), {},
        [0.5, 1.5],
    ),
    "names of rows": (
        '"",a,y\n' + "".join(f"r{i},{i + 0.5},{'pq'[i % 2]}\n" for i in range(30)), {}, None,
    ),
    "empty columns behind": (
        numbers(MANY).replace("p\n", "p,,\n").replace("q\n", "q,,\n").replace("y\n", "y,,\n"), {},
        [0.5, 1.5],
    ),
    "rows of empty cells": (numbers(MANY) + ",,p\n", {}, [0.5, 1.5]),
    "labels missing": (numbers(MANY) + "5,5,\n6,6,NA\n", {}, [0.5, 1.5]),
    "NA": (numbers([*MANY, "NA"]), {}, [0.5, 1.5]),
    "N/A late": (numbers([*MANY, "n/a"]), {}, [0.5, 1.5]),
    "#DIV/0!": (numbers([*MANY, "#DIV/0!"]), {}, [0.5, 1.5]),
    "NaN": (numbers([*MANY, "NaN"]), {}, [0.5, 1.5]),
    "a dash, named": (numbers([*MANY, "-"]), {"missing": "-"}, [0.5, 1.5]),
    "two words, named": (numbers(["-9", "x", *MANY]), {"missing": "x,-9"}, [None, None, 0.5]),
    "words among numbers": (numbers([*MANY, "abc"]), {}, [0.5, 1.5]),
    "a word after a thousand rows": (
        numbers([str(i) for i in range(3000)] + ["late"]), {}, [0, 1, 2],
    ),
    "yes and no": (numbers(["yes", "no"] * 5), {}, [1, -1]),
    "TRUE and FALSE": (numbers(["TRUE", "FALSE"] * 5), {}, [1, -1]),
    "two words": (numbers(["red", "blue"] * 5), {}, [1, -1]),
    "ISO dates": (
        numbers([f"2020-01-{d:02d}" for d in range(1, 13)]), {}, [-5, -4],
    ),
    "ISO times": (
        numbers([f"2020-01-01T{h:02d}:00:00Z" for h in range(1, 13)]), {}, [-5 / 24, -4 / 24],
    ),
    "dates, the day first": (
        numbers([f"{d:02d}/01/2020" for d in range(8, 20)]), {}, [-5, -4],
    ),
    "dates, the month first": (
        numbers([f"01/{d:02d}/2020" for d in range(8, 20)]), {}, [-5, -4],
    ),
    "dates of full stops": (
        numbers([f"{d}.1.2020" for d in range(1, 13)]), {}, [-5, -4],
    ),
    "dates with names of months": (
        numbers([f"{d}-Jan-20" for d in range(1, 13)]), {}, [-5, -4],
    ),
    "dates, named": (
        numbers([f"0{d}/0{d + 1}/2020" for d in range(1, 7)] * 2), {"types": "a=date(%d/%m/%Y)"},
        [-62, -32],
    ),
    "times of day": (
        numbers([f"{h:02d}:30" for h in range(12)]), {}, [0.5, 1.5],
    ),
    "names that differ in case": (numbers(MANY).replace("n,y", "A,y"), {}, [0.5, 1.5]),
    "names with quotes": (numbers(MANY).replace("n,y", "\"o'n \"\"x\"\"\",y"), {}, [0.5, 1.5]),
    "names of SQL": (numbers(MANY).replace("n,y", "select,y"), {}, [0.5, 1.5]),
    "digits with zeros in front": (numbers(["007", "7", "042"] * 4), {}, [1, 0, 0]),
    "wide": (
        ",".join(["a", *(f"x{i}" for i in range(500)), "y"]) + "\n"
        + "".join(",".join([str(i), *["1"] * 499, str(i), "pq"[i % 2]]) + "\n" for i in range(9)),
        {}, [0, 1],
    ),
    "long cells": (numbers(MANY).replace("p", "p" * 100_000), {}, [0.5, 1.5]),
    "gzip": (gzip.compress(numbers(MANY).encode()), {"end": ".csv.gz"}, [0.5, 1.5]),
    "bzip2": (bz2.compress(numbers(MANY).encode()), {"end": ".csv.bz2"}, [0.5, 1.5]),
    "xz": (lzma.compress(numbers(MANY).encode()), {"end": ".csv.xz"}, [0.5, 1.5]),
    "gzip of UTF-16": (gzip.compress(numbers(MANY).encode("utf-16")), {"end": ".tsv.gz"}, [0.5]),
    "two separators, one makes numbers": (
        "Price, EUR;y\n" + "".join(f"{i},5;{'pq'[i % 2]}\n" for i in range(9)),
        {"column": "Price, EUR"}, [0.5, 1.5],
    ),
    "two marks": (b"\xef\xbb\xbf" * 2 + numbers(MANY).encode(), {}, [0.5, 1.5]),
    "no mark, UTF-16 named": (
        numbers(MANY).encode("utf-16-le"), {"encoding": "utf-16-le"}, [0.5, 1.5],
    ),
    "blanks, named": (numbers(MANY, sep=" "), {"delimiter": "space"}, [0.5, 1.5]),
    "thousands of India": (quoted(["1,00,000", "12,34,567.5"] * 5), {}, [100000, 1234567.5]),
    "a minus before a blank": (numbers(["- 5", "7"] * 5), {}, [-5, 7]),
    "characters without a width": (numbers(["5\u200b", "\u200e7", "8"] * 4), {}, [5, 7, 8]),
    "typographic quotes": (numbers(["“5”", "‘7’"] * 5), {}, [5, 7]),
    "yen and rupees": (numbers(["￥500", "￥700"] * 5), {}, [500, 700]),
    "NULL of MySQL": (numbers([*MANY, "\\N"]), {}, [0.5, 1.5]),
    "typographic dashes for missing": (numbers([*MANY, "–", "—"]), {}, [0.5, 1.5]),
    "months": (numbers([f"2020-{m:02d}" for m in range(1, 13)]), {}, [-152, -121]),
    "months before years": (numbers([f"{m:02d}/2020" for m in range(1, 13)]), {}, [-152, -121]),
    "a name that is a pattern": (numbers(MANY), {"end": "[1]*.csv"}, [0.5, 1.5]),
}  # fmt: skip

# name: (the file, options, what the refusal says: the line or the column, and the way out)
REFUSED: dict[str, tuple[Any, dict[str, Any], tuple[str, ...]]] = {
    "empty": ("", {}, ("no header",)),
    "blank": ("\n\n\n", {}, ("no header",)),
    "a mark alone": (b"\xef\xbb\xbf", {}, ("no header",)),
    "a header only": ("a,n,y\n", {}, ("no rows",)),
    "a row too short": ("a,n,y\n1,2,p\n3,q\n", {}, ("line 3", "2 cells", "3", "--delimiter")),
    "a row too long": ("a,n,y\n1,2,p\n3,4,q,5\n", {}, ("line 3", "4 cells", "--delimiter")),
    "a short row far down": (
        numbers([str(i) for i in range(3000)]) + "1,p\n", {}, ("line 3002", "2 cells"),
    ),
    "a short row behind line ends in quotes": (
        numbers([str(i) for i in range(1500)]).replace("p", '"p\nq"') + "1,p\n", {},
        ("line 2252", "2 cells"),
    ),
    "separators behind the rows": (
        "a,y\n1,p,\n2,q,\n", {}, ("line 2", "3 cells", "header has 2"),
    ),
    "NULs": (numbers(MANY).encode().replace(b"3.5", b"3\x005"), {}, ("line 5", "zero bytes")),
    "UTF-16 without a mark": (numbers(MANY).encode("utf-16-le"), {}, ("line 1", "--encoding")),
    "Latin-1": (
        numbers(MANY).replace("q\n", "é\n").encode("latin-1"), {}, ("line 3", "--encoding cp1252"),
    ),
    "a broken character far down": (
        numbers(MANY * 900).encode() + b"1,2,\xff\n", {}, ("line 10802", "--encoding"),
    ),
    "a mark of another encoding": (
        b"\xef\xbb\xbf" + numbers(MANY).encode(), {"encoding": "latin-1"},
        ("mark of utf-8", "latin-1", "--encoding"),
    ),
    "UTF-8 taken for UTF-16": (numbers(MANY), {"encoding": "utf-16"}, ("line 1", "--encoding")),
    "a zero in UTF-16": (
        numbers(MANY).replace("3.5", "3\x005").encode("utf-16"), {}, ("line 5", "zeros"),
    ),
    "no encoding of characters": (numbers(MANY), {"encoding": "rot13"}, ("--encoding rot13",)),
    "gzip, not named so": (gzip.compress(numbers(MANY).encode()), {}, ("gzip", ".gz")),
    "a ZIP named CSV": (b"PK\x03\x04" + b"0" * 40, {}, ("ZIP", "CSV")),
    "a title above": ("Sales 2020\n" + numbers(MANY), {}, ("line 2", "line 1", "title", "remove")),
    "a rule below the names": (
        "| a | n | y |\n|---|---|---|\n| 1 | 2 | p |\n", {}, ("line 2", "rule", "remove"),
    ),
    "names that come again": (
        numbers(MANY) * 2, {}, ("line 14", "line 1", "--no-header"),
    ),
    "a quote opened in the middle": (
        numbers(MANY * 50) + '"x,1,p\n' + numbers(MANY), {}, ("line 602", "never closed"),
    ),
    "a backslash before a quote": (
        numbers([r'"p \"x\" q"'] * 12), {}, ("line 2", "written twice"),
    ),
    "points and commas before fractions": (
        quoted(["0,5", "0.25"] * 6), {}, ("'a'", "'0,5'", "'0.25'", "--types a=category"),
    ),
    "points and commas in the label": (
        "a;y\n" + "".join(f"{i};{i}{',.'[i % 2]}5\n" for i in range(30)), {},
        ("label", "different signs", "--task classification"),
    ),
    "the day first, and the month first": (
        numbers([f"01/{d}/2020" for d in range(13, 19)] + [f"{d}/01/2020" for d in range(13, 19)]),
        {}, ("line 2", "'a'", "'01/13/2020'", "--types a=category"),
    ),
    "a format that is none": (
        numbers(["2020-01-01", "2020-01-02"] * 6), {"types": "a=date(%Q)"}, ("--types", "%Q"),
    ),
    "no such encoding": (numbers(MANY), {"encoding": "utf-88"}, ("--encoding utf-88", "cp1252")),
    "an open quote": ('a,n,y\n1,2,"p\n3,4,q\n', {}, ("quote", "never closed")),
    "an open quote far down": (
        numbers(MANY * 300) + '1,2,"p\n3,4,q\n', {}, ("quote", "never closed"),
    ),
    "words behind a quote": ('a,n,y\n1,2,"p"q\n3,4,q\n', {}, ("line 2", "expected after")),
    "two columns of one name": ("a,a,y\n1,2,p\n", {}, ("line 1", "'a' stands 2 times")),
    "a column without a name": ("a,,y\n1,2,p\n", {}, ("line 1", "column 2 has no name")),
    "numbers for names": ("1,2,3\n4,5,6\n", {}, ("line 1", "--no-header", "--header")),
    "numbers for names, decimal commas": ("1,5;2\n4,5;6\n", {}, ("line 1", "--no-header")),
    "no header": (numbers(MANY)[6:], {}, ("line 1", "'0.5'", "--no-header", "--header")),
    "no header, words alone": (
        "x,u,p\n" + "x,v,p\ny,u,q\n" * 5, {}, ("line 1", "same words", "--no-header"),
    ),
    "no header, whole numbers": (
        "3,1,p\n" + "4,2,p\n5,3,q\n" * 5, {}, ("line 1", "--no-header"),
    ),
    "two separators": ("a,b;c\nx,y;z\n", {}, ("a comma", "a semicolon", "--delimiter")),
    "tabs and bars": ("a\tb|c\nx\ty|z\n", {}, ("a tab", "a bar", "--delimiter")),
    "a long separator": (numbers(MANY), {"delimiter": "::"}, ("--delimiter", "one character")),
    "no such decimal sign": (numbers(MANY), {"decimal": ";"}, ("--decimal", ". or ,")),
    "thousands or fractions": (
        numbers(["1,234", "5,678"] * 5, sep=";"), {},
        ("line 2", "'a'", "'1,234'", "--decimal . or --decimal ,"),
    ),
    "thousands of full stops or fractions": (
        numbers(["1.234", "5.678"] * 5, sep=";"), {}, ("line 2", "'a'", "'1.234'", "--decimal"),
    ),
    "two currencies": (numbers(["$5", "€7"] * 5), {}, ("'a'", "$ and in €", "--types a=category")),
    "percent and not": (numbers(["5%", "7"] * 5), {}, ("'a'", "percentages", "--types a=category")),
    "day or month": (
        numbers([f"0{d}/0{d + 1}/2020" for d in range(1, 7)] * 2), {},
        ("line 2", "'a'", "'01/02/2020'", "--types"),
    ),
    "mixed dates": (
        numbers([f"2020-01-{d:02d}" for d in range(1, 13)] + ["soon"]), {},
        ("line 14", "'a'", "'soon'", "--missing", "--types a=category"),
    ),
    "infinity": (numbers([*MANY, "inf"]), {}, ("line 14", "'a'", "inf", "--missing")),
    "a label beside nothing": ("y\np\nq\n", {}, ("no column beside the label",)),
    "one class": (numbers(MANY).replace("q\n", "p\n"), {}, ("'y'", "one class")),
    "labels all missing": (
        numbers(MANY).replace("q\n", "\n").replace("p\n", "\n"), {}, ("'y'", "empty in every row"),
    ),
    "nothing to learn from": (
        "a,y\n" + "".join(f"n{i},{'pq'[i % 2]}\n" for i in range(30)), {},
        ("'a'", "30 different words", "--types a=category"),
    ),
    "no such column": (numbers(MANY), {"types": "b=number"}, ("no column 'b'",)),
    "no such kind": (numbers(MANY), {"types": "a=nunber"}, ("'a'", "did you mean 'number'")),
    "no kind": (numbers(MANY), {"types": "a"}, ("--types", "name=kind")),
    "words as numbers": (
        numbers([*MANY, "abc"]), {"types": "a=number"}, ("line 14", "'a'", "'abc'", "--missing"),
    ),
    "other words than the order": (
        numbers(["S", "M", "X"] * 4), {"types": "a=S<M<L"}, ("line 4", "'a'", "'X'"),
    ),
    "no date": (numbers(MANY), {"types": "a=date(%d/%m/%Y)"}, ("line 2", "'a'", "'0.5'")),
    "dropped label": (numbers(MANY), {"drop": "y"}, ("'y'", "dropped")),
    "gzip cut off": (
        gzip.compress(numbers(MANY).encode())[:-20], {"end": ".csv.gz"}, ("cannot be read",),
    ),
    "no gzip": (numbers(MANY), {"end": ".csv.gz"}, ("cannot be read",)),
    "no Parquet": (numbers(MANY), {"end": ".parquet"}, ("cannot be read as a table",)),
    "no JSON": (numbers(MANY), {"end": ".jsonl"}, ("cannot be read as a table",)),
    "packed in another way": (b"PK\x03\x04", {"end": ".csv.zip"}, ("unpack it", "gzip")),
    "a spreadsheet": (b"PK\x03\x04", {"end": ".xlsx"}, ("spreadsheet", "CSV")),
}  # fmt: skip


def written(folder: Path, content: Any, options: dict[str, Any]) -> Path:
    path = folder / f"t{options.pop('end', '.csv')}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_there_are_more_than_a_hundred() -> None:
    assert len(READ) + len(REFUSED) >= 130


@pytest.mark.parametrize("name", READ)
def test_read_rightly(name: str, tmp_path: Path) -> None:
    content, options, wanted = READ[name]
    options = dict(options)
    column = options.pop("column", A)
    path = written(tmp_path, content, options)
    data = lm.datasets.load(path, test_size=0, **options)
    assert data.task == "classification"
    if wanted is None:
        assert any("names of rows" in note for note in data.notes)
        return
    names = [n for n in data.feature_names if n.split("=")[0].split(" ")[0] == column.split(" ")[0]]
    at = data.feature_names.index(names[0])
    for row, value in enumerate(wanted):
        if value is not None:
            assert data.x_train[row, at] == pytest.approx(value), data.feature_names
    reading = Reading(header=options.get("header"), **{
        key: options[key] for key in ("delimiter", "decimal", "encoding") if key in options
    })  # fmt: skip
    with engine.open_table(path, reading, data.encoding.as_written) as table:
        x = data.encoding.features(table)
    labelled = len(data.y_train)
    np.testing.assert_array_equal(x[:labelled], data.x_train)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    content, options, says = REFUSED[name]
    options = dict(options)
    path = written(tmp_path, content, options)
    with pytest.raises(lm.LaminaError) as caught:
        lm.datasets.load(path, test_size=0, **options)
    for word in says:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
