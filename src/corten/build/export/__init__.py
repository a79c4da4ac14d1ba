"""What becomes of a build's results: images in the store, in archives and in registries, and plain files."""
