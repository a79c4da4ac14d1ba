"""What building images costs, beside docker's classic builder and buildah."""
