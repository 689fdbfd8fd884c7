"""Methods that are not chat models, one file each; found through the entry-point group ``lvlm_ad.baselines``."""
