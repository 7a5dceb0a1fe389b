"""Packages: wheel and sdist, .deb and .rpm, from one tree of files for each target."""
