"""YAML documents in which every value knows its place, and the forms that values have."""
