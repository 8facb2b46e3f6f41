"""Text → terms, the same at index and at query time, for English and Chinese and texts that mix them.

NFKC and case folding come first (so full-width letters, ligatures and capitals are equal). Runs of Han, kana and Hangul
become single characters and overlapping pairs, which needs no dictionary and finds every two-character word; all other
words are stemmed by Snowball's English stemmer (Porter 2001, "Porter2"). Stop words are dropped, unless nothing else
is left.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache
from typing import Literal

import tantivy

__all__ = ["detect_language", "normalise", "terms"]

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PAIRED = _HAN + "\u3005\u3041-\u30ff\u31f0-\u31ff\uac00-\ud7af"
_RUNS = re.compile(rf"(?P<paired>[{_PAIRED}]+)|(?P<word>(?:(?![{_PAIRED}])[^\W_])+(?:['’](?:(?![{_PAIRED}])[^\W_])+)*)")
_HAN_CHARACTER = re.compile(rf"[{_HAN}]")
_LETTER = re.compile(r"[^\W\d_]")
_POSSESSIVE = re.compile(r"['’]s$")

_ENGLISH_STOP_TEXT = """
    a an and are as at be been but by can could did do does for from had has have he her his i if in into is it its me
    my of on or our please she should so than that the their them there they this to us was we were will with would you
    your
"""
_ENGLISH_STOP = frozenset(_ENGLISH_STOP_TEXT.split())
_CHINESE_STOP = frozenset("的了吗呢吧啊呀么嘛哦我你您他她它们是在就也都和与及或这那个请")
_LONGEST_TERM = 64

_local = threading.local()


def normalise(text: str) -> str:
    """NFKC and case folding: texts that a reader takes for the same become equal."""
    return unicodedata.normalize("NFKC", text).casefold()


def terms(text: str) -> list[str]:
    """Split a text into index terms, in order, repetitions kept.

    A text without letters, digits or ideographs has no terms. A term longer than 64 characters is cut.
    """
    kept: list[str] = []
    stopped: list[str] = []
    for match in _RUNS.finditer(normalise(text)):
        run = match.group()
        if match.lastgroup == "paired":
            for character in run:
                (stopped if character in _CHINESE_STOP else kept).append(character)
            kept.extend(run[i : i + 2] for i in range(len(run) - 1))
        else:
            word = _POSSESSIVE.sub("", run).replace("'", "").replace("’", "")[:_LONGEST_TERM]
            if word in _ENGLISH_STOP:
                stopped.append(word)
            else:
                kept.append(_stem(word))
    return kept or stopped


def detect_language(text: str) -> Literal["en", "zh"] | None:
    """Tell Chinese from English by script: Chinese when at least 3 in 10 letters are Han characters.

    Chinese questions often hold English product names ("iPhone 怎么退货"); one Han character carries about as much as
    one English word, hence the low share. Kana or Hangul text without Han characters counts as ``None``, and so does a
    text without letters.
    """
    letters = _LETTER.findall(unicodedata.normalize("NFKC", text))
    if not letters:
        return None
    han = sum(1 for letter in letters if _HAN_CHARACTER.match(letter))
    if han * 10 >= len(letters) * 3:
        return "zh"
    latin = sum(1 for letter in letters if "LATIN" in unicodedata.name(letter, ""))
    return "en" if latin * 2 > len(letters) else None


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    if not word.isascii() or not word.isalpha():
        return word
    stemmer = getattr(_local, "stemmer", None)
    if stemmer is None:
        builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
        stemmer = _local.stemmer = builder.filter(tantivy.Filter.stemmer("english")).build()
    stems: list[str] = stemmer.analyze(word)
    return stems[0] if stems else word
