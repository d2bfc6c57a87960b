"""Typed records, params, settings and errors. Uses only pydantic and the standard library, so it imports in milliseconds."""
