"""Copying images between registries, archives and layouts, past the store: what skopeo does."""
