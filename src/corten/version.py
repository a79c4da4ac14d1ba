"""The version of this package, for those who must not import what the package offers."""

__version__ = "0.1.0"
