"""The vocabulary by which answers are read, in lower case."""

from __future__ import annotations

__all__ = [
    "AND",
    "ANOMALY",
    "ARTICLES",
    "BEFORE_SCORE",
    "CONNECTIVES",
    "DEFINES",
    "FILLERS",
    "FOR",
    "FRACTION",
    "IMAGE",
    "IMAGE_FILLERS",
    "INDEFINITE",
    "IS",
    "MEASURE",
    "NOT_ANOMALY",
    "NUMBERED",
    "OF",
    "OPENS_CLAUSE",
    "QUALIFIERS",
    "QUANTITIES",
    "REGION",
    "SCORE",
    "TO",
    "UNITS",
    "VERBS",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


REGION = _words(
    "region regions section sections segment segments area areas zone zones cell cells superpixel superpixels"
)
"""What a region is called, by the prompt or by the model."""
IMAGE = _words("image overall picture whole entire global photo")
"""What says that a score is the image's."""
SCORE = _words("score scores scored rating rated")
"""What says that a number is a score."""
MEASURE = _words("probability likelihood level index")
"""What says so after a word of ``ANOMALY``."""
ANOMALY = _words("anomaly anomalies anomalous abnormality abnormal defect anomalousness")
NOT_ANOMALY = _words("confidence confident sure certain certainty normal similarity normality")
"""What a number in brackets, or before such a word, measures instead."""
QUANTITIES = NOT_ANOMALY | _words(
    "size width height length depth diameter radius ratio position coordinates x y threshold scale accuracy iou "
    "brightness contrast distance angle thickness weight quality"
)
"""What a number after a separator measures instead of an anomaly."""
UNITS = _words(
    "mm cm m km um nm µm μm inch inches px pixel pixels x times deg degree degrees s sec secs second seconds minute "
    "minutes hour hours am pm kg g mg ml l hz kb mb v mv kv w ohm ohms"
)
"""What makes a number a measure."""

NUMBERED = _words("number numbers no nos nr num id ids index anomaly score scores")
"""What may stand between "region" and its number."""
AND = _words("and")
TO = _words("to through thru until")
"""What makes a range of region numbers."""
FRACTION = _words("percent pct out")
"""What makes the number before it a part of something."""
OPENS_CLAUSE = _words("and for then so but finally")

VERBS = _words("is are was were be at to gets get receives receive of scored")
"""What may attach a decimal to a label."""
FILLERS = _words(
    "a an the this has have had having with i we would could should might may can will i'd i'll it its my their also "
    "given give giving assigned assign assigning estimated estimate being been both each all respectively about "
    "around approximately roughly approx likely therefore thus set rated deserves anomaly anomalies anomalous "
    "abnormality abnormal defect level value probability likelihood final resulting individual relatively very high "
    "low moderate medium higher lower slightly"
)
"""What may stand between a label and its score."""
ARTICLES = _words("the this")
IMAGE_FILLERS = IMAGE | ARTICLES | _words("for of in level product object item part sample surface given full scale")
"""What more may stand between "score" and the image's score."""
CONNECTIVES = _words(
    "and because due since while but as with for which indicating suggesting given so therefore where if although or "
    "though likely in on to"
)
"""What may follow a score; any other word may be what a number counts."""

FOR = _words("for to in on")
OF = _words("for of")
IS = _words("is would was")
QUALIFIERS = IMAGE | ANOMALY | _words("level final total wide based estimated resulting")
"""What may stand before "score" and belong to it."""
INDEFINITE = _words("a an its with this their")
BEFORE_SCORE = INDEFINITE | _words("the my of is and or as give assign s therefore region regions section")
"""What may stand before a bare "score"; any other word says which score it is, and that it is not ours."""
DEFINES = _words("means mean represents represent corresponds or above below would being if and")
"""What follows a score that is only spoken about."""
