"""Ways of reaching a chat model, one file each; found through the entry-point group ``lvlm_ad.backends``."""
