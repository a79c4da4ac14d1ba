"""The build cache on its way between machines: through a registry, a directory, or the image itself."""
