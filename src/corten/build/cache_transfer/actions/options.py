"""`type=gha`: BuildKit's attributes and defaults (its README, "GitHub Actions cache"). What they take from
the environment is looked up by the client."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from corten.build.cache_transfer.attributes import parse_seconds, parse_url
from corten.errors import InvalidArgument

ACTIONS_KEYS = frozenset(
    {"url", "url_v2", "token", "scope", "version", "timeout", "repository", "ghtoken", "api_url"}
)
_GITHUBS = "results-receiver.actions.githubusercontent.com"
_API = "https://api.github.com"


class ActionsCache(msgspec.Struct, frozen=True, kw_only=True):
    """`version` (1 or 2) of the service at `url`; `timeout` in seconds. With `repository` and `api_token`,
    GitHub's API at `api_url` tells in one request what is there."""

    url: str
    token: str
    version: int
    scope: str = "buildkit"
    timeout: float = 600.0
    repository: str = ""
    api_token: str = ""
    api_url: str = _API

    @property
    def name(self) -> str:
        """For messages."""
        return f"gha:{self.scope}"

    @property
    def title(self) -> str:
        """The same with its kind."""
        return f"GitHub Actions Cache {self.scope}"

    def __repr__(self) -> str:
        return f"ActionsCache({self.url!r}, {self.scope!r})"


def parse_actions(flag: str, attributes: Mapping[str, str]) -> ActionsCache:
    """InvalidArgument."""
    what = f"--{flag} type=gha"
    given = {key: value for key, value in attributes.items() if value}
    if "token" not in given:
        raise InvalidArgument(f"{what} needs token=…, or the variable ACTIONS_RUNTIME_TOKEN")
    asked = given.get("version", "")
    if asked not in ("", "1", "2"):
        raise InvalidArgument(f"{what}: version is 1 or 2, not {asked!r}")
    # As BuildKit: url_v2 is a service of version 2; url of the version that is said, or that it looks like.
    version, url = (2, given["url_v2"]) if asked != "1" and "url_v2" in given else (0, given.get("url", ""))
    if not url:
        raise InvalidArgument(
            f"{what} needs url=…, or one of the variables ACTIONS_CACHE_URL and ACTIONS_RESULTS_URL"
        )
    version = version or int(asked or 0) or (2 if _GITHUBS in url else 1)
    scope = given.get("scope", "buildkit")
    if "," in scope:
        raise InvalidArgument(f"{what}: scope must not have a comma in it, as keys are separated by commas")
    timeout = parse_seconds(what, given, "timeout", "10m")
    if timeout <= 0:
        raise InvalidArgument(f"{what}: timeout must be more than nothing")
    return ActionsCache(
        url=parse_url(what, "url", url),
        token=given["token"],
        version=version,
        scope=scope,
        timeout=timeout,
        repository=given.get("repository", ""),
        api_token=given.get("ghtoken", ""),
        api_url=parse_url(what, "api_url", given.get("api_url", _API)),
    )
