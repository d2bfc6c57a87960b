"""The typed ground: records, params, settings and errors. pydantic and the standard library only, so that it imports in milliseconds."""
