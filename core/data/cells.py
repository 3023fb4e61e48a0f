"""Words of cells: which of them say that nothing is known, which are numbers, and in what style."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...kernels.errors import BadInput

# What programs write where nothing is known; spreadsheets their errors.
MISSING = frozenset({
    "", "NA", "na", "N/A", "n/a", "#N/A", "#NA", "<NA>", "#N/A N/A", "NaN", "nan", "-NaN", "-nan",
    "NULL", "null", "NaT", "?", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "#DIV/0!", "#VALUE!",
    "#REF!", "#NAME?", "#NUM!", "#NULL!", "\\N", "nan(ind)", "-nan(ind)",
})  # fmt: skip
# What people write; among words it may well be one, among numbers and dates it says nothing.
WEAK = frozenset(
    {"", "none", "-", "--", ".", "..", "n.a.", "n.v.", "nil", "n/k", "unknown", "missing"}
    | {"–", "—", "…", "..."}
)
TRUTH = {
    "yes": True, "no": False, "y": True, "n": False, "true": True, "false": False, "t": True,
    "f": False, "on": True, "off": False, "1": True, "0": False, "ja": True, "nein": False,
    "oui": True, "non": False, "sí": True, "si": True, "j": True,
}  # fmt: skip
UNSEEN = "\u200b\u200e\u200f\u2060\ufeff"  # characters without a width
# Typographic minus signs, and what nobody sees
MINUS = str.maketrans({"−": "-", "–": "-", "﹣": "-", "－": "-", **dict.fromkeys(UNSEEN)})
SPACES = " \u00a0\u2007\u2009\u202f'’"  # what parts groups of thousands beside comma and full stop
CODES = "USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|RUB|BRL|MXN|ZAR|KRW|TRY"
CURRENCIES = rf"R\$|[$¢£¤¥฿₠-⃀＄￠￡￥￦元円원]|{CODES}|kr\.?|zł|Kč|Ft|Fr\.?|Rs\.?"
QUOTES = tuple("'`´‘’‚‹›“”„«»")  # that say nothing in a text file
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
GROUPED = {  # whole numbers in groups of three, and a fraction behind the other sign
    ",": re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:(\.)\d{{3}}|[{SPACES}]\d{{3}})+(,\d+)?"),
    ".": re.compile(
        rf"[+-]?(?:[1-9]\d{{0,2}}(?:(,)\d{{3}}|[{SPACES}]\d{{3}})+"
        r"|[1-9]\d?(?:,\d\d)+,\d{3})(\.\d+)?"  # in India groups of two lie before the last
    ),
}
COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+|\d+)([eE][+-]?\d+)?")
EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")  # 1,234: a thousand and more, or one and a bit
PADDED = re.compile(r"[+-]?0\d+")


def missing(word: str, also: Sequence[str] | None = None) -> bool:
    """Whether a cell says that nothing is known; also: the words that do, instead of the usual."""
    word = word.strip()
    if also is None:
        return word in MISSING
    return not word or word in also


def weak(word: str) -> bool:
    """Whether a word among numbers or dates says that nothing is known."""
    return word.strip().lower() in WEAK


def truth(word: str) -> bool | None:
    """Whether a word says yes or no in one of a few ways; None of any other."""
    return TRUTH.get(word.strip().lower())


def number(word: str) -> float | None:
    """The finite number that a word says as programs write them, or None.

    1_000 is a word, though Python reads it.
    """
    if "_" in word:
        return None
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Numbers:
    """Words as numbers.

    values: (n,) float64, NaN for a word that is none. decimal: the sign before fractions, "" where
    no word has one. doubtful: the first word that is another number with the other sign, where
    nothing tells which. style: what was taken off, in words.
    """

    values: np.ndarray
    decimal: str = ""
    doubtful: str = ""
    style: str = ""

    @property
    def found(self) -> np.ndarray:
        """Which of the words are numbers."""
        return np.asarray(~np.isnan(self.values))


def _plain(words: Sequence[str]) -> np.ndarray:
    return np.array([math.nan if (v := number(w)) is None else v for w in words], dtype=np.float64)


def numbers(words: Sequence[str], decimal: str | None = None, hint: str = "") -> Numbers:
    """Words as numbers, in the one style that all of them share.

    words: different ones. decimal: "." or ",", where that is known. hint: the sign that the rest of
    the file speaks for; it decides where both would do.
    Raises: BadInput for amounts in two currencies, for percentages among other numbers, and where
    some are numbers with a decimal point and the others with a comma.
    """
    values = _plain(words)
    if decimal != "," and not np.isnan(values).any():
        signs = any("." in word for word in words)
        if decimal is None and hint == "," and signs and _only(words, GROUPED[","]):
            return Numbers(_read(words, ","), ",")  # 1.234 in a file of decimal commas
        either = [word for word in words if "." in word]
        doubt = decimal is None and not hint and all(EITHER.fullmatch(word) for word in either)
        return Numbers(values, "." if signs else "", either[0] if doubt and either else "")
    bare, style, problem = _bare(words)
    points = {sign: _read(bare, sign) for sign in ".,"}
    if decimal:
        return Numbers(points[decimal], decimal, "", style)
    told = {sign: ~np.isnan(points[sign]) for sign in ".,"}
    if (told["."] | told[","]).all() and not (told["."].all() or told[","].all()):
        one, two = (words[int(np.argmin(told[sign]))] for sign in ".,")
        raise BadInput(problem or f"{one!r} and {two!r} have different signs before fractions")
    if problem and max(told["."].sum(), told[","].sum()) * 2 > len(words):
        raise BadInput(problem)
    if told["."].sum() == told[","].sum():
        same = points["."] == points[","]
        differ = told["."] & told[","] & ~same
        if differ.any():
            word = words[int(np.argmax(differ))]
            if hint:
                return Numbers(points[hint], hint, "", _parted(bare, hint, style))
            return Numbers(points["."], ".", word, style)
        return Numbers(points["."], "", "", style)
    sign = "." if told["."].sum() > told[","].sum() else ","
    return Numbers(points[sign], sign, "", _parted(bare, sign, style))


def _parted(bare: Sequence[str], decimal: str, style: str) -> str:
    """The style, and whether thousands are parted."""
    if any(GROUPED[decimal].fullmatch(word) for word in bare):
        return f"{style}, with thousands parted".removeprefix(", ")
    return style


def _only(words: Sequence[str], pattern: re.Pattern[str]) -> bool:
    return all(pattern.fullmatch(word) or word.lstrip("+-").isdigit() for word in words)


def _bare(words: Sequence[str]) -> tuple[list[str], str, str]:
    """Words without signs of money and percent, with a plain minus; and what was taken off.

    The third says why they are no numbers of one kind, if so.
    """
    bare, money, percent, counts = [], set(), 0, 0
    for given in words:
        word = given.strip().translate(MINUS)
        if word[:1] in QUOTES and word[-1:] in QUOTES:
            word = word[1:-1].strip()
        word = re.sub(r"^([+-])\s+", r"\1", word)
        negative = word.startswith("(") and word.endswith(")") and len(word) > 2
        word = word[1:-1] if negative else word
        if found := re.match(rf"([+-]?)\s*({CURRENCIES})\s*", word):
            word, sign = found[1] + word[found.end() :], found[2]
        elif found := re.search(rf"\s*({CURRENCIES})$", word):
            word, sign = word[: found.start()], found[1]
        else:
            sign = ""
        part = word.endswith("%")
        word = word.removesuffix("%").strip(" \u00a0\u202f")
        bare.append("-" + word if negative and word[:1] not in "+-" else word)
        if word[-1:].isdigit() or word[:1].isdigit():
            counts += 1
            percent += part
            money |= {sign} - {""}
    if len(money) > 1:
        one, two = sorted(money)[:2]
        return bare, "", f"amounts in {one} and in {two} are no numbers of one kind"
    if percent and percent != counts:
        return bare, "", "some numbers are percentages, and others are not"
    return bare, f"without {money.pop()}" if money else "of percent" if percent else "", ""


def _read(words: Sequence[str], decimal: str) -> np.ndarray:
    """The numbers of bare words, by the sign before fractions; NaN for what is none."""
    found = np.full(len(words), math.nan)
    plain = PLAIN if decimal == "." else COMMA
    group = "," if decimal == "." else "."
    for at, word in enumerate(words):
        if GROUPED[decimal].fullmatch(word):
            word = re.sub(rf"[{SPACES}{re.escape(group)}]", "", word)
        elif not plain.fullmatch(word):
            continue
        found[at] = float(word.replace(",", ".")) if decimal == "," else float(word)
    return np.where(np.isfinite(found), found, math.nan)


def evidence(words: Sequence[str]) -> str:
    """The decimal sign that words leave no doubt of, "." or ","; "" where none does, or both do."""
    found = set()
    for given in words:
        word = given.strip().translate(MINUS)
        if EITHER.fullmatch(word) or not any(sign in word for sign in ",."):
            continue
        point = PLAIN.fullmatch(word) or GROUPED["."].fullmatch(word)
        comma = COMMA.fullmatch(word) or GROUPED[","].fullmatch(word)
        if bool(point) != bool(comma):
            found.add("." if point else ",")
    return found.pop() if len(found) == 1 else ""


def padded(words: Sequence[str]) -> bool:
    """Whether words are digits with leading zeros, as codes are written and numbers are not."""
    return any(PADDED.fullmatch(word) for word in words)
