"""Talking to registries: the OCI distribution-spec's client, its authentication, TLS, mirrors and retries."""
