"""Presets in TOML: ``models/``, ``prompts/``, ``protocols/``, ``downloads/``, and published numbers."""
