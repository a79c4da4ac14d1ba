"""Docker's Engine API as types: what the daemon decodes and encodes, with Docker's JSON field names.

Attributes are snake_case; `api.message.Message` gives them Docker's names on the wire. One file per resource.
"""
