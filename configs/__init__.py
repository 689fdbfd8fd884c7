"""Presets as TOML: ``models/``, ``prompts/``, ``protocols/`` and the published rows in ``published.toml``."""
