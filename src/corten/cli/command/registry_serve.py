"""corten registry serve: a registry in the foreground."""

from __future__ import annotations

from corten.cli.registry_process import PLACE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.cli.options import Arguments
    from corten.cli.session import Session

USAGE = "corten registry serve [OPTIONS]"
DETAIL = """\
It speaks the OCI distribution specification: corten, docker, podman, skopeo and the others push to it
and pull from it. Without options it listens on 127.0.0.1:5000 and keeps everything in files. Any number
of registries may share one PostgreSQL database and one bucket. No engine is needed. Renewed certificates
are taken without a restart. With --upstream it is a cache of other registries as well. Rate limits
and the rest are in the configuration file: docs/REGISTRY.md."""
EXAMPLES = (
    "corten registry serve",
    "corten registry serve --listen 127.0.0.1:5001 --root ~/registry",
    "corten registry serve --listen :443 --tls-cert registry.crt --tls-key registry.key",
    "corten registry serve --upstream docker.io --upstream ghcr.io",
    "corten registry serve --database postgresql://corten@db/registry --storage s3://images",
)
ARGS = (0, 0)
OPTIONS = (
    ("access-log", "", "bool", "", "A line of JSON on stderr for each request"),
    ("access-log-file", "", "str", "FILE", "The same in a file, which may be rotated"),
    (
        "allow-anonymous",
        "",
        "bool",
        "",
        "Let everybody who reaches an address beyond loopback push and delete",
    ),
    *PLACE_OPTIONS,
    ("external-url", "", "str", "URL", "What clients call this registry, where a proxy does not say so"),
    ("listen", "l", "list", "ADDRESS:PORT", "Where to listen (default 127.0.0.1:5000)"),
    (
        "metrics-listen",
        "",
        "str",
        "ADDRESS:PORT",
        "Serve /metrics there only, to everybody (default: beside the rest, to this machine)",
    ),
    (
        "tls-cert",
        "",
        "str",
        "FILE",
        "Serve HTTPS with this certificate and those behind it (PEM)",
    ),
    (
        "tls-client-ca",
        "",
        "str",
        "FILE",
        "Let in only clients with a certificate of these authorities; its common name is the user's",
    ),
    ("tls-key", "", "str", "FILE", "The certificate's private key (PEM)"),
    (
        "trusted-proxy",
        "",
        "list",
        "ADDRESS",
        "Take a client's address from X-Forwarded-For when this proxy, or network, sends it",
    ),
    (
        "upstream",
        "",
        "list",
        "NAME[=URL]",
        "Fetch what is asked for below NAME/ from another registry (=URL: whatever is asked for)",
    ),
    ("workers", "", "int", "N", "How many processes serve (default: one for each core, 4 at most)"),
)

_TLS = {"certificate": "tls-cert", "key": "tls-key", "client-ca": "tls-client-ca"}


def run(session: Session, arguments: Arguments) -> int:
    """Becomes the registry."""
    from corten.cli.registry_process import become, place

    settings = place(arguments)
    if arguments.has("listen"):
        settings["listen"] = arguments.many("listen")
    if arguments.has("workers"):
        settings["workers"] = arguments.number("workers")
    if arguments.has("external-url"):
        settings["external-url"] = arguments.text("external-url")
    if arguments.has("access-log-file"):
        settings["access-log-file"] = arguments.text("access-log-file")
    if arguments.has("trusted-proxy"):
        settings["trusted-proxies"] = arguments.many("trusted-proxy")
    if arguments.has("metrics-listen"):
        settings["metrics"] = {"listen": arguments.text("metrics-listen")}
    if arguments.has("upstream"):
        settings["upstreams"] = dict(_upstream(text) for text in arguments.many("upstream"))
    tls = {name: arguments.text(option) for name, option in _TLS.items() if arguments.has(option)}
    if tls:
        settings["tls"] = tls
    for name in ("access-log", "allow-anonymous"):
        if arguments.has(name):
            settings[name] = arguments.on(name)
    become("serve", {"file": arguments.text("config"), "set": settings})


def _upstream(text: str) -> tuple[str, dict[str, str]]:
    name, _, url = text.partition("=")
    return name, {"url": url}
