"""The scenario language: how a file is read and written, and the schema of it."""
