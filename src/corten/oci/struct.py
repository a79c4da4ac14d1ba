"""Typed values with JSON: msgspec's, or those of `light_struct` where a program has imported that first."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING or "corten.oci.light_struct" not in sys.modules:
    from msgspec import DecodeError, Struct, field, to_builtins
    from msgspec.json import Decoder, decode, encode
    from msgspec.structs import replace
else:
    from corten.oci.light_struct import (
        DecodeError,
        Decoder,
        Struct,
        decode,
        encode,
        field,
        replace,
        to_builtins,
    )

__all__ = ["DecodeError", "Decoder", "Struct", "decode", "encode", "field", "replace", "to_builtins"]
