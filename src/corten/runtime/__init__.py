"""The OCI runtime: create, start, exec, kill, delete."""
