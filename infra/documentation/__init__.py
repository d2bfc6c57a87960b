"""The documentation site: pages of reference that are generated from the code (reference.py), added by mkdocs's hooks (hooks.py)."""
