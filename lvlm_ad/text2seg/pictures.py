"""Find the picture that a phrase is about: the one under inspection, a reference, or the second of several."""

from __future__ import annotations

from lvlm_ad.text2seg.lexer import Tokens, form
from lvlm_ad.text2seg.numbers import INTEGER, read_integer, skip_bracket
from lvlm_ad.text2seg.scores import REFERENCE

_ADJECTIVE = form(
    r"""
      (?: (?P<reference> {reference} ) (?: '-'?+ {product} )?+ | (?P<ordinal> {ordinal} ) | (?P<nth> {integer} ) {nth} )
      '-'?+ \Z
    """
)
_NAME = form(r"{article}?+ (?: {integer} {nth} | {inspected|reference|ordinal} ) (?: '-'?+ {product} )?+ '-'?+ \Z")
_NUMBER = form("(?: {id} '.'?+ )?+ (?P<number> {INTEGER} ) (?! {of} | '/' )", INTEGER=INTEGER)
_DE_REFERENCIA = form("{of} {reference_name}")  # imagen "de referencia", image "de référence"
_REACH = 4
"""How many tokens before a word for an image may say which one it is."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth")

_OF_PICTURE = form(
    """
      '(['?+ (?: {of} {anomaly} )?+ (?: {to_or_for|of} {article}?+ )?+
      (?: {inspected|reference|ordinal|product} '-'?+ ){0,3}+ {image}
    """
)
"""Score "for the image", "of the reference image"."""
_OF_REFERENCE = form(
    r"""
      (?: \A | (?<= {opens|line} ) (?<! {for} ) ) (?! {this} ) {article}?+
      (?: (?: {reference_name} {product|picture}?+ | {reference} {product} ) {has} {image_filler}*+
        | {reference_name} {product}?+ ':=' ) \Z
    """
)
"""A phrase before "score" whose subject is a reference: "the golden sample has an" anomaly score."""
_AFTER = form(
    """
      '(['?+ {to_or_for|of} {article}?+ (?: {inspected|reference|ordinal|product} '-'?+ ){0,3}+ (?P<image> {image} )
    | '([' {article}?+ (?: {inspected} | (?P<reference> {reference} ) ) {product|image}?+ ')]'
    """
)
"""A phrase after a score that names its picture: "for the reference image", "(reference)"."""
_GENERAL = form(
    r"""
      (?: (?<= {opens|line} ) {indefinite}?+ | {of_or_for} {indefinite}?+ | {indefinite} )
      {reference} '-'?+ (?: (?! {image_filler|region|score} ) {word} | {product|picture} ){1,3}+
      (?: {has} (?: {image_filler|always} ){0,4}+ | ','?+ {article} ) \Z
    """
)
"""A phrase before "score" that is about flawless products in general: "a normal screw has an" anomaly score."""


def read_picture(tokens: Tokens, at: int) -> tuple[int | None, int]:
    """Read what names the picture around a word for an image: "reference image", "Image 2 (test)", "second image".

    Returns:
        Its number, ``REFERENCE``, or None for the one under inspection; and the index of the token after its name.
    """
    end = at + 1
    if not tokens.has(at, "picture"):
        return None, end
    picture: int | None = None
    adjective = _ADJECTIVE.search(tokens.shape, max(at - _REACH, 0), at)
    if adjective is not None and adjective["reference"]:
        return REFERENCE, end
    if adjective is not None and adjective["ordinal"]:
        picture = _ORDINALS.index(tokens[adjective.start("ordinal")].text) + 1
    elif adjective is not None:
        picture = read_integer(tokens, adjective.start("nth"))
    if (after := tokens.skip(_DE_REFERENCIA, end)) > end:
        return REFERENCE, after
    number = _NUMBER.match(tokens.shape, end)
    if number is not None:
        picture, end = read_integer(tokens, number.start("number")), number.end()
    after = skip_bracket(tokens, end)
    if tokens.contain(end, after, "reference"):
        return REFERENCE, after
    if tokens.contain(end, after, "inspected"):
        return None, after
    return (None if tokens.has(at - 1, "inspected") else picture), end


def read_of_picture(tokens: Tokens, at: int) -> tuple[int | None, int]:
    """Read "for the image" or "of image 2" after the word for a score; the index is ``at`` if there is nothing."""
    end = tokens.skip(_OF_PICTURE, at)
    return (None, at) if end == at else read_picture(tokens, end - 1)


def read_after(tokens: Tokens, at: int) -> tuple[int | None, int]:
    """Read the picture of the score that ends here; the index is ``at`` if no picture is named."""
    after = _AFTER.match(tokens.shape, at)
    if after is None:
        return None, at
    if after["image"] is None:
        return (None if after["reference"] is None else REFERENCE), after.end()
    picture, end = read_picture(tokens, after.start("image"))
    return picture, end + tokens.is_mark(end, ")]")


def starts_clause(tokens: Tokens, at: int) -> bool:
    """Return whether a word for an image, with what names the picture before it, begins a clause."""
    named = _NAME.search(tokens.shape, max(at - _REACH, 0), at)
    return tokens.has(at - 1 if named is None else named.start() - 1, "opens|line")


def introduces(tokens: Tokens, at: int) -> bool:
    """Return whether a word for an image begins a clause, perhaps after "in": "In the reference image, ..."."""
    named = _NAME.search(tokens.shape, max(at - _REACH, 0), at)
    first = at if named is None else named.start()
    return tokens.has(first - 1 - tokens.has(first - 1, "to_or_for"), "opens|line")


def is_about_reference(tokens: Tokens, at: int) -> bool:
    """Return whether the phrase that ends here has a reference as its subject."""
    return _OF_REFERENCE.search(tokens.shape, max(at - 12, 0), at) is not None


def is_general(tokens: Tokens, at: int) -> bool:
    """Return whether the phrase that ends here is about flawless products in general, not about one picture."""
    return _GENERAL.search(tokens.shape, max(at - 12, 0), at) is not None
