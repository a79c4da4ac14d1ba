"""What pulling, loading, saving, pushing and reading images costs, beside docker, podman and skopeo."""
