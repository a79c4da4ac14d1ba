"""White space as the language of Dockerfiles knows it: Go's `unicode.IsSpace`, which is not `str.isspace`
(that has U+001C to U+001F as well)."""

from __future__ import annotations

import re

SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

SPACES = re.compile(f"[{SPACE}]+")

BLANKS = re.compile("[\t\v\f\r ]+")
"""What separates the words of an instruction: of the ASCII spaces, all but the line feed."""

_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def replace_invalid(text: str) -> str:
    """Each byte that was not UTF-8 (and is a lone surrogate here) becomes U+FFFD. A Dockerfile keeps such
    bytes where a line is taken whole, and loses them where it is taken apart into words."""
    return text if text.isascii() else _NOT_UTF8.sub("\ufffd", text)
