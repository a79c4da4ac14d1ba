"""Build checks: what is allowed in a Dockerfile, but most likely not meant."""
