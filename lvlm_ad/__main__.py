"""``python -m lvlm_ad``."""

from lvlm_ad.cli import main

main()
