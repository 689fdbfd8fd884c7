r"""Rewrite rare notations in the usual way: LaTeX, XML elements, "3~7", "#3", digits of other scripts.

$\boxed{0.9}$                      0.9
<region id="3" score="0.7"/>       ;region id="3" score="0.7";
regions 3~7                        regions 3-7
R3: 0.7                            region 3: 0.7
"""

from __future__ import annotations

import re
import unicodedata

from lvlm_ad.text2seg.lexer import Text, lex

_BRACES = re.compile(
    r"\\(?:boxed|fbox|framebox|text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf|tt)|operatorname|emph|underline|bm)\s*+\{|[{}]"
)
_FRACTION = re.compile(r"\\[dt]?frac\s*+\{(?=[0-9.]{1,9}\}\s*+\{[0-9.]{1,9}\})|(?<=[0-9])\}\s*+\{(?=[0-9])")
_SIGNS = re.compile(
    r"\\(?P<equals>(?:long)?rightarrow|Rightarrow|Longrightarrow|mapsto|implies|to|approx|sim|simeq|equiv|colon)(?![a-z])"
    r"|(?P<line>\\\\)|\\(?:[()\[\],;:!]|quad|qquad)"
)
_TABLE = re.compile(
    r"(?<!\\)(?P<cell>&)|\\(?:begin|end)\{\w{1,20}+\*?\}(?:\{[^{}\n]{0,80}+\})?+|\\(?:hline|(?:top|mid|bottom)rule)\b"
)
_RANGE = re.compile(r"(?<=[0-9])( ?)(?:~|(?<![^0-9]0)(?<![^0-9]00)(?:\.{2,3}|[\u2025\u2026]))\1(?=[0-9])")
_SHORT = re.compile(
    r"(?<![\w#&.])(?:\#|R|Reg\.[ ]?|Rgn\.?[ ]?)(?=[0-9]{1,4}[ ]?(?:[:=(,&-]|and\b|is\b))(?<![^\W0-9_][ ]\#)",
    re.IGNORECASE,
)
_ELEMENT = re.compile(r"<(/?)([^\W0-9][\w.-]{0,40})((?:\s[^<>=]{0,40}=[^<>]{0,200}?)?)(/?)>")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")


def usual_notation(text: Text) -> Text:
    """Return a plain text with its rarer notations written in the usual way."""
    if "\\" in text.text:
        text = _without_latex(text)
    if "</" in text.text or "/>" in text.text:
        text = _without_elements(text)
    text = text.replaced(_RANGE, lambda _: "-").replaced(_SHORT, lambda _: "region ")
    return _with_usual_digits(text)


def _without_latex(text: Text) -> Text:
    commands: list[bool] = []

    def without_command(brace: re.Match[str]) -> str:
        if brace[0] == "}":
            return " " if commands and commands.pop() else "}"
        commands.append(len(brace[0]) > 1)
        return " " if commands[-1] else "{"

    if re.search(r"\\begin\{(?:tabular|array)", text.text):
        text = text.replaced(_TABLE, lambda part: "|" if part["cell"] else "\n")
    text = text.replaced(_FRACTION, lambda part: " " if part[0][0] == "\\" else "/")
    text = text.replaced(_BRACES, without_command)
    return text.replaced(_SIGNS, lambda sign: "=" if sign["equals"] else "\n" if sign["line"] else " ")


def _without_elements(text: Text) -> Text:
    """Rewrite elements named after a region, the image or a score as labels: "<score>0.7" is "score: 0.7"."""
    parts: list[Text] = []
    end = 0
    for tag in _ELEMENT.finditer(text.text):
        closes, name, attributes, empty = tag.groups()
        words = lex(Text.of(name))
        if not words.contain(0, len(words), "region|image|score|numbered"):
            continue
        scored = words.contain(0, len(words), "image|score")
        labels = attributes or words.contain(0, len(words), "image|score|numbered")
        ends = ";" if empty else ":" if labels else " "
        parts.append(text.part(end, tag.start()))
        if closes:
            parts.append(Text(";" if scored else " ", [-1]))
        else:
            opens = ";" if words.contain(0, len(words), "region|image") else " "
            parts += [Text(opens, [-1]), text.part(*tag.span(2)), text.part(*tag.span(3)), Text(ends, [-1])]
        end = tag.end()
    parts.append(text.part(end))
    return Text.joined(parts)


def _with_usual_digits(text: Text) -> Text:
    """Write the digits of another script as 0 to 9, if the text has no others: a mixture is ambiguous."""
    zeros = {ord(digit[0]) - unicodedata.digit(digit[0]) for digit in _OTHER_DIGIT.finditer(text.text)}
    if len(zeros) != 1 or re.search("[0-9]", text.text):
        return text
    zero = zeros.pop()
    return Text(text.text.translate({zero + value: str(value) for value in range(10)}), text.origins)
