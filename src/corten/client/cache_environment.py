"""What the environment of a build's client says about caches: keys of S3, GitHub's token. The engine's own
environment is not the client's, so it is looked up here and goes along with the request, as from buildx."""

from __future__ import annotations

import os
from collections.abc import Mapping

SECRETS = frozenset({"access_key_id", "secret_access_key", "session_token", "token", "ghtoken"})
"""Attributes that are not shown."""

# type: {attribute: variables, the first that is set counts}
_VARIABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "s3": {
        "bucket": ("AWS_BUCKET",),
        "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    },
    "azblob": {
        "account_url": ("BUILDKIT_AZURE_STORAGE_ACCOUNT_URL",),
        "account_name": ("BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME",),
        "container": ("BUILDKIT_AZURE_STORAGE_CONTAINER",),
        "prefix": ("BUILDKIT_AZURE_STORAGE_PREFIX",),
    },
    "gha": {
        "token": ("ACTIONS_RUNTIME_TOKEN",),
        "url": ("ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL"),
    },
}
_S3_KEY = {
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}


def complete(kind: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes of a cache of this type, with what the environment has of those that are not given."""
    variables = dict(_VARIABLES.get(kind, {}))
    if kind == "gha" and attributes.get("version", _version()) == "2":
        variables["url_v2"] = ("ACTIONS_RESULTS_URL",)
    if kind == "gha" and attributes.get("ghtoken"):
        variables["api_url"] = ("GITHUB_API_URL",)
    found = dict(attributes)
    for key, names in variables.items():
        for name in names:
            if key not in found and os.environ.get(name):
                found[key] = os.environ[name]
    # One key, never parts of two.
    if kind == "s3" and "access_key_id" not in found and "secret_access_key" not in found:
        found |= _s3_key()
    return found


def is_active(kind: str, attributes: Mapping[str, str]) -> bool:
    """Whether there is such a cache here: outside of GitHub's workflows there is no type=gha."""
    return kind != "gha" or bool(
        attributes.get("token") and (attributes.get("url") or attributes.get("url_v2"))
    )


def _version() -> str:
    return "2" if os.environ.get("ACTIONS_CACHE_SERVICE_V2", "") in _TRUE else ""


_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # Go's strconv.ParseBool


def _s3_key() -> dict[str, str]:
    """From the variables, else from the profile in ~/.aws/credentials (or ~/.aws/config); nothing where
    neither has one: the engine may find a role."""
    key = {name: os.environ[variable] for name, variable in _S3_KEY.items() if os.environ.get(variable)}
    if "access_key_id" in key and "secret_access_key" in key:
        return key
    import configparser

    profile = os.environ.get("AWS_PROFILE") or "default"
    for variable, default, section in (
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile),
        ("AWS_CONFIG_FILE", "~/.aws/config", profile if profile == "default" else f"profile {profile}"),
    ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(os.path.expanduser(os.environ.get(variable) or default))
        except (configparser.Error, UnicodeDecodeError):
            continue
        if not parser.has_section(section):
            continue
        key = {name: parser[section][f"aws_{name}"] for name in _S3_KEY if f"aws_{name}" in parser[section]}
        if "access_key_id" in key and "secret_access_key" in key:
            return key
    return {}
