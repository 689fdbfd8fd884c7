"""``python -m lvlm_ad``."""

import sys

from lvlm_ad.children import search_path

# Python itself has put the current folder first.
sys.path[:] = search_path()

from lvlm_ad.cli import main  # noqa: E402

main()
