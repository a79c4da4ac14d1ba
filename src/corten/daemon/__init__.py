"""Docker's Engine API over HTTP: one file per resource."""
