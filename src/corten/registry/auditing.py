"""Requests as records of the audit log."""

from __future__ import annotations

from aiohttp import web

from corten.registry.access import ANONYMOUS, CALLER, Identity
from corten.registry.audit import Audit, Outcome, Record
from corten.registry.request import Request
from corten.registry.routing import Resource, Route

_WORDS = {
    (Resource.MANIFEST, "PUT"): "manifest.push",
    (Resource.MANIFEST, "DELETE"): "manifest.delete",
    (Resource.BLOB, "DELETE"): "blob.delete",
    (Resource.UPLOADS, "POST"): "blob.push",
    (Resource.UPLOAD, "PUT"): "blob.push",
    (Resource.UPLOAD, "PATCH"): "blob.push",
    (Resource.UPLOAD, "DELETE"): "upload.cancel",
    (Resource.MANIFEST, "GET"): "manifest.pull",
    (Resource.BLOB, "GET"): "blob.pull",
    (Resource.TOKEN, "GET"): "sign-in",
    (Resource.TOKEN, "POST"): "sign-in",
}


class RequestAudit:
    """Writes down what requests have changed, and which ones were refused."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def changed(
        self, request: Request, route: Route, identity: Identity, response: web.StreamResponse
    ) -> None:
        """A change was made. The beginning and the pieces of an upload change nothing yet that anybody could
        pull."""
        if response.status == 202 and request.method in ("POST", "PATCH"):
            return
        digest = response.headers.get("Docker-Content-Digest", "")
        detail = " ".join(dict.fromkeys(word for word in (_reference(route), digest) if word))
        tags = ",".join(response.headers.getall("OCI-Tag", ()))
        self._put(identity, route, f"{detail} {tags}" if tags else detail, Outcome.DONE, request)

    def failed(self, request: Request, route: Route, status: int, reason: str) -> None:
        """A request was refused (401, 403), or a change failed by no fault of the client's (500 and more).

        A client that has shown nothing yet and asks `/v2/` how to sign in is refused nothing: every sign-in
        begins so.
        """
        if status == 401 and route.resource is Resource.BASE and "Authorization" not in request.headers:
            return
        reference = _reference(route)
        detail = f"{reference} {status}: {reason}" if reference else f"{status}: {reason}"
        outcome = Outcome.DENIED if status in (401, 403) else Outcome.FAILED
        self._put(request.get(CALLER, ANONYMOUS), route, detail, outcome, request)

    def _put(self, who: Identity, route: Route, detail: str, outcome: Outcome, request: Request) -> None:
        action, address = _action(request.method, route), request.remote or ""
        self._audit.record(Record(who, action, route.repository, detail, outcome, address, request.name))


def _reference(route: Route) -> str:
    """What names it; an upload's name is nobody else's business, since it is all that is needed to go on."""
    return "" if route.resource is Resource.UPLOAD else route.reference


def _action(method: str, route: Route) -> str:
    if method == "HEAD":
        method = "GET"
    if route.resource is Resource.MANIFEST and method == "DELETE" and ":" not in route.reference:
        return "tag.delete"
    word = _WORDS.get((route.resource, method))
    return word or f"{route.resource.value}.{method.lower()[:20]}"
