"""Draw the pictures of the documentation with the library itself: python docs/make_pictures.py [FOLDER].

FOLDER is docs/images unless it is given. Needs the extra ``dev``, and Chromium for the pictures of pages.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pictures.drawn import methods, pipeline
from pictures.pages import pages

if __name__ == "__main__":
    images = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("images")
    images.mkdir(exist_ok=True)
    pipeline(images)
    methods(images)
    pages(images)
