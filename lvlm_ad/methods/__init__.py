"""How a chat model inspects one image: one file for each method.

A method yields questions, receives their answers and returns a finding; see ``Method``.
"""

from lvlm_ad.methods.contract import AskedModel, Conversation, Method, MethodOptions, View
from lvlm_ad.methods.numbering import numbering_of, numbers_of, with_usual_numbers
from lvlm_ad.text2seg.finding import Finding

__all__ = [
    "AskedModel",
    "Conversation",
    "Finding",
    "Method",
    "MethodOptions",
    "View",
    "numbering_of",
    "numbers_of",
    "with_usual_numbers",
]
