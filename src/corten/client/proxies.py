"""The proxies of Docker's config.json, which builds get as arguments and containers in their environment."""

from __future__ import annotations

import os

from corten.client import jsontext
from corten.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.client.jsontext import Json

_VARIABLES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "ftpProxy": "FTP_PROXY",
    "noProxy": "NO_PROXY",
    "allProxy": "ALL_PROXY",
}


def proxy_variables(engine: str) -> dict[str, str]:
    """HTTP_PROXY, http_proxy and the like, from the `proxies` of config.json beneath DOCKER_CONFIG or
    ~/.docker: those for the address `engine`, else the `default` ones. Programs do not agree on the case, so
    each comes in both, as from Docker's client. InvalidArgument for a file that is not JSON."""
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    path = os.path.join(directory, "config.json")
    try:
        with open(path, "rb") as file:
            text = file.read()
        config = jsontext.loads(text) if b"proxies" in text else None
    except OSError:
        return {}
    except ValueError as error:
        raise InvalidArgument(f"cannot read {path}: it is not JSON: {error}") from error
    proxies = _mapping(_mapping(config).get("proxies"))
    chosen = _mapping(proxies.get(engine) or proxies.get("default"))
    found = ((variable, chosen.get(key)) for key, variable in _VARIABLES.items())
    return {
        name: value
        for variable, value in found
        if value and isinstance(value, str)
        for name in (variable, variable.lower())
    }


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
