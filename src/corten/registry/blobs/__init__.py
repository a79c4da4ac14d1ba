"""Bytes by location: the Protocol, local files, and object stores."""
