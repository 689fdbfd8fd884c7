"""Draw the pictures of the documentation with the library itself: python docs/make_pictures.py [FOLDER] [--few].

FOLDER is docs/images unless it is given; --few takes fewer images, to see that it works. Needs the extra ``dev``, and
Chromium for the pictures of pages.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pictures.drawn import methods, pipeline
from pictures.pages import pages

if __name__ == "__main__":
    folders = [Path(one) for one in sys.argv[1:] if one != "--few"]
    images = folders[0] if folders else Path(__file__).with_name("images")
    images.mkdir(exist_ok=True)
    pipeline(images)
    methods(images)
    pages(images, few="--few" in sys.argv)
