"""Paths in an image's file system, by Go's rules: nothing is looked up."""

from __future__ import annotations


def clean(path: str) -> str:
    """path.Clean: the shortest path to the same; `.` for nothing."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts and parts[-1] != "..":
                parts.pop()
            elif not rooted:
                parts.append(part)
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if rooted else "") + "/".join(parts) or "."


def join(*parts: str) -> str:
    """path.Join: the parts that are not empty, cleaned; empty, where all are."""
    joined = "/".join([part for part in parts if part])
    return clean(joined) if joined else ""


def absolute(parent: str, path: str) -> str:
    """`path` seen from `parent`, always absolute and clean."""
    return clean(path if path.startswith("/") else f"/{parent}/{path}")


def destination(directory: str, path: str) -> str:
    """Where COPY writes to: absolute and clean, but for a slash, or `/.`, at its end, which mean a
    directory. The directory itself (`.` or nothing) counts as one."""
    written = path if path not in ("", ".") else "./"
    result = absolute(directory, written)
    if written.endswith("/") and not result.endswith("/"):
        return result + "/"
    if written.endswith("/."):
        return result + "." if result == "/" else result + "/."
    return result


def working_directory(current: str, path: str) -> str:
    """WORKDIR. An absolute path is kept as it is written."""
    parent = current if current.startswith("/") else join("/", current)
    if path == "":
        return parent
    return path if path.startswith("/") else join(parent, path)


def base(path: str) -> str:
    """path.Base: the last element."""
    if not path:
        return "."
    stripped = path.rstrip("/")
    return stripped.rpartition("/")[2] if stripped else "/"


def without_wildcards(path: str) -> str:
    """A pattern that this path alone matches."""
    if not any(character in path for character in "*?["):
        return path
    return "".join([f"[{character}]" if character in "*?[" else character for character in path]).replace(
        "\\", "[\\\\]"
    )


def has_wildcard(path: str) -> bool:
    """Whether `*`, `?` or `[` stand in it, not escaped by a backslash."""
    position = 0
    while position < len(path):
        if path[position] in "*?[":
            return True
        position += 2 if path[position] == "\\" else 1
    return False
