"""A tiny guest for rehearsals, demonstrations and tests."""
