"""Docker's credential helpers: `docker-credential-NAME get|store|erase`, JSON on stdin and stdout
(docker/docker-credential-helpers)."""

from __future__ import annotations

import json
import re
import subprocess

from corten.errors import Denied, InvalidArgument, Unavailable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = ("credentials not found", "no credentials server url", "no credentials username")
_TIMEOUT = 30.0


def get(helper: str, server: str) -> tuple[str, str] | None:
    """(user name, secret); None when the helper knows none. The user name `<token>` means an identity
    token."""
    status, output = _run(helper, "get", server)
    if status != 0:
        if any(words in output.lower() for words in _NOT_FOUND):
            return None
        raise _failed(helper, "get", server, output)
    try:
        answer = json.loads(output)
        return str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise Denied(f"docker-credential-{helper} get {server} did not answer with credentials") from error


def store(helper: str, server: str, username: str, secret: str) -> None:
    """Stores credentials; Denied when the helper refuses."""
    document = json.dumps({"ServerURL": server, "Username": username, "Secret": secret})
    status, output = _run(helper, "store", document)
    if status != 0:
        raise _failed(helper, "store", server, output)


def erase(helper: str, server: str) -> bool:
    """Forgets credentials; False when there were none."""
    status, output = _run(helper, "erase", server)
    if status != 0 and not any(words in output.lower() for words in _NOT_FOUND):
        raise _failed(helper, "erase", server, output)
    return status == 0


def _run(helper: str, verb: str, text: str) -> tuple[int, str]:
    if _NAME.fullmatch(helper) is None:
        raise InvalidArgument(f"invalid credential helper {helper[:100]!r} in config.json")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb], input=text.encode(), capture_output=True, timeout=_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise Unavailable(
            f"the credential helper {program} is not installed: install it, or remove it from config.json"
        ) from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the credential helper {program} did not answer in {_TIMEOUT:.0f} s") from None
    except OSError as error:
        raise Unavailable(f"cannot run the credential helper {program}: {error.strerror}") from error
    return done.returncode, (done.stdout or done.stderr).decode(errors="replace").strip()


def _failed(helper: str, verb: str, server: str, output: str) -> Denied:
    reason = output.splitlines()[0][:200] if output else "it gave no reason"
    return Denied(f"docker-credential-{helper} {verb} {server} failed: {reason}")
