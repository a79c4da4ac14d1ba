"""Corten: a complete container system in pure Python."""

__version__ = "0.1.0"
