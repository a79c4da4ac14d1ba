"""From Docker's configuration to the OCI runtime specification: merge, validate, resolve mounts, build."""
