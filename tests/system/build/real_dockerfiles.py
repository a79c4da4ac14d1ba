"""Dockerfiles of well-known shape on a Debian base, their files, and how one sees that the image runs."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FETCH = """\
import sys, urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:{port}/").read().decode(), end="")
except OSError as error:
    sys.exit(str(error))
"""
_TALK = (
    "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; "
    'while IFS= read -r line <&3; do last=$line; done; echo "${{last}}"'
)


@dataclass(frozen=True)
class RealDockerfile:
    """`files` by path; a server is asked with `ask` (a command in its container) until it says `answer`;
    without `ask` the container itself says it and ends."""

    text: str
    files: Mapping[str, str | bytes]
    answer: str
    ask: tuple[str, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)

    def write(self, directory: Path) -> Path:
        """The context."""
        for name, content in {"Dockerfile": self.text, **self.files}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return directory


def wheel(name: str, version: str, source: str) -> bytes:
    """A wheel with one module."""
    info = f"{name}-{version}.dist-info"
    members = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{info}/RECORD,,\n"
    for path, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {**members, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def _install(*packages: str) -> str:
    return (
        "RUN apt-get update -qq \\\n"
        f"    && apt-get install -qq -y --no-install-recommends {' '.join(packages)} \\\n"
        "    && rm -rf /var/lib/apt/lists/*\n"
    )


PYTHON = RealDockerfile(
    "FROM debian AS base\n"
    + _install("python3")
    + "FROM base AS build\n"
    + _install("python3-venv")
    + """\
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /venv
WORKDIR /src
COPY requirements.txt ./
COPY wheels wheels
RUN /venv/bin/pip install --no-index --find-links wheels -r requirements.txt

FROM base
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PORT=8000
RUN useradd --system --uid 999 --home-dir /app app
WORKDIR /app
COPY --from=build /venv /venv
COPY --chown=app:app app.py ./
USER app
EXPOSE 8000
HEALTHCHECK --interval=30s CMD ["python3", "-c", "import greeting"]
CMD ["python3", "app.py"]
""",
    {
        "requirements.txt": "greeting==1.0\n",
        "wheels/greeting-1.0-py3-none-any.whl": wheel("greeting", "1.0", "TEXT = 'hello from a venv\\n'\n"),
        "app.py": """\
import http.server, os
import greeting

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{greeting.TEXT.strip()} as {os.getuid()}\\n".encode())

http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
""",
    },
    "hello from a venv as 999\n",
    ("python3", "-c", _FETCH.format(port=8000)),
    config={
        "User": "app",
        "WorkingDir": "/app",
        "Cmd": ["python3", "app.py"],
        "ExposedPorts": {"8000/tcp": {}},
    },
)

C_PROGRAM = RealDockerfile(
    "FROM debian AS build\n"
    + _install("gcc", "libc6-dev")
    + """\
WORKDIR /src
COPY . .
RUN gcc -O2 -static -s -o /hello hello.c && /hello
FROM scratch
COPY --from=build /hello /hello
ENTRYPOINT ["/hello"]
CMD ["scratch"]
""",
    {
        "hello.c": """\
#include <stdio.h>
int main(int count, char **words) { printf("hello from %s\\n",
    count > 1 ? words[1] : "the build"); return 0; }
"""
    },
    "hello from scratch\n",
    config={"Entrypoint": ["/hello"], "Cmd": ["scratch"]},
)

NGINX = RealDockerfile(
    "FROM debian\n"
    + _install("nginx-light")
    + """\
RUN ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
COPY nginx.conf /etc/nginx/nginx.conf
COPY --chown=www-data:www-data site /srv/site
EXPOSE 8080
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
""",
    {
        "nginx.conf": """\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
events { worker_connections 64; }
http { server { listen 8080; root /srv/site; } }
""",
        "site/index.html": "hello from nginx\n",
    },
    "hello from nginx\n",
    ("bash", "-c", _TALK.format(port=8080)),
    config={"StopSignal": "SIGQUIT", "Cmd": ["nginx", "-g", "daemon off;"], "ExposedPorts": {"8080/tcp": {}}},
)

NODE = RealDockerfile(
    "FROM debian AS base\n"
    + _install("nodejs")
    + """\
FROM base AS dependencies
WORKDIR /app
COPY package.json ./
COPY vendor node_modules
RUN node -e 'require("greeting")'

FROM base
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json server.js ./
USER www-data
EXPOSE 3000
CMD ["node", "server.js"]
""",
    {
        "package.json": '{"name": "app", "version": "1.0.0", "dependencies": {"greeting": "1.0.0"}}\n',
        "vendor/greeting/package.json": '{"name": "greeting", "version": "1.0.0", "main": "index.js"}\n',
        "vendor/greeting/index.js": "module.exports = () => `hello from node in ${process.env.NODE_ENV}`;\n",
        "server.js": """\
const greeting = require("greeting");
require("http").createServer((request, answer) => answer.end(greeting() + "\\n")).listen(3000);
""",
    },
    "hello from node in production\n",
    ("bash", "-c", _TALK.format(port=3000)),
    config={"User": "www-data", "WorkingDir": "/app", "Cmd": ["node", "server.js"]},
)

POSTGRESQL = RealDockerfile(
    "FROM debian\n"
    + _install("postgresql")
    + """\
ENV PGDATA=/var/lib/postgresql/data
RUN ln -s /usr/lib/postgresql/*/bin /usr/lib/postgresql/current \\
    && install -d -o postgres -g postgres -m 700 "$PGDATA" \\
    && install -d -o postgres -g postgres -m 2775 /run/postgresql
ENV PATH=/usr/lib/postgresql/current:$PATH
COPY init /initdb.d/
COPY entrypoint /usr/local/bin/
RUN chmod 755 /usr/local/bin/entrypoint
USER postgres
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["entrypoint"]
CMD ["postgres"]
""",
    {
        "entrypoint": """\
#!/bin/sh
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --auth=trust >/dev/null
    pg_ctl -w -o "-c listen_addresses=''" start >/dev/null
    for script in /initdb.d/*.sql; do psql -q -v ON_ERROR_STOP=1 -f "$script"; done
    pg_ctl -w -m fast stop >/dev/null
fi
exec "$@"
""",
        "init/1-schema.sql": "CREATE TABLE greetings (text varchar);\n",
        "init/2-data.sql": "INSERT INTO greetings VALUES ('hello from postgresql');\n",
    },
    "hello from postgresql\n",
    ("psql", "-h", "127.0.0.1", "-qtA", "-c", "SELECT text FROM greetings"),
    config={"User": "postgres", "Entrypoint": ["entrypoint"], "Volumes": {"/var/lib/postgresql/data": {}}},
)

REAL = {"python": PYTHON, "c": C_PROGRAM, "nginx": NGINX, "node": NODE, "postgresql": POSTGRESQL}
