"""`python -m corten`: the same as the `corten` command."""

from __future__ import annotations

from corten.cli.main import entry

if __name__ == "__main__":
    entry()
