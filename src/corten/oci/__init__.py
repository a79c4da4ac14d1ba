"""The OCI types: digest, descriptor, manifest, image config, runtime spec, reference. No I/O."""
