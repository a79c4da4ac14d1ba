"""Caches in GitHub's cache service for Actions, and in what speaks its protocol, in both of its versions."""
