"""Docker's Engine API over HTTP, on the engine's unix socket; one file per resource.

`server` accepts and dispatches, `call` is one request with its answer, `routing` maps a path to a handler;
`hijack` lets go of a connection so that the container's monitor can speak on it.
"""
