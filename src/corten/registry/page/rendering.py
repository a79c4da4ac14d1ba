"""HTML from templates: jinja2 with autoescape, undefined names as errors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from corten.registry.page import addresses, kinds, text

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class StaticFile(NamedTuple):
    """A file that never changes while the process runs."""

    body: bytes
    content_type: str
    etag: str


class Renderer:
    """Templates and static files, read once."""

    def __init__(self) -> None:
        self.files = {
            path.name: StaticFile(
                (body := path.read_bytes()),
                _TYPES[path.suffix],
                hashlib.sha256(body).hexdigest()[:16],
            )
            for path in (_HERE / "static").iterdir()
            if path.suffix in _TYPES
        }
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            visible=text.visible,
            linked=text.linked,
            plain=text.plain,
            size=text.size,
            change=text.change,
            age=text.age,
            iso=text.iso,
            short=text.short_digest,
            short_tag=text.short_tag,
        )
        self._environment.globals.update(
            address=addresses,
            kind_names=kinds.NAMES,
            kind_short_names=kinds.SHORT_NAMES,
            static=self._static,
        )

    def _static(self, name: str) -> str:
        return f"/static/{name}?v={self.files[name].etag}"

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        """The page."""
        return self._environment.get_template(template).render(values)
