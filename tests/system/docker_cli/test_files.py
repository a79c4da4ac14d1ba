"""cp, diff, export, import, commit, save, load."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.system.docker_cli.conftest import IMAGE, Docker, busybox_tar

pytestmark = [pytest.mark.root, pytest.mark.docker_cli]


@pytest.mark.parametrize("running", [True, False])
def test_cp_both_ways(docker: Docker, tmp_path: Path, running: bool) -> None:
    if running:
        name = docker.running()
    else:
        name = docker.name()
        docker("create", "--name", name, "--network", "none", IMAGE, "true")
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    data = os.urandom(3_000_000)
    (tmp_path / "tree" / "sub" / "f").write_bytes(data)
    (tmp_path / "tree" / "link").symlink_to("sub/f")
    docker("cp", str(tmp_path / "tree"), f"{name}:/tmp/")
    docker("cp", f"{name}:/tmp/tree", str(tmp_path / "back"))
    assert (tmp_path / "back" / "sub" / "f").read_bytes() == data
    assert (tmp_path / "back" / "link").readlink() == Path("sub/f")
    docker("cp", f"{name}:/tmp/tree/sub/f", str(tmp_path / "single"))
    assert (tmp_path / "single").read_bytes() == data
    docker("cp", str(tmp_path / "single"), f"{name}:/tmp/renamed")
    listing = docker("cp", f"{name}:/tmp/tree/.", "-", binary=True)
    with tarfile.open(fileobj=io.BytesIO(listing.out.encode("latin-1"))) as tar:
        names = tar.getnames()
    assert "./sub/f" in names or "sub/f" in names
    missing = docker("cp", f"{name}:/no/such", str(tmp_path / "x"), code=1)
    assert "/no/such" in missing.err
    nowhere = docker("cp", str(tmp_path / "single"), f"{name}:/no/such/dir/f", code=1)
    assert nowhere.err.strip()


def test_cp_stdin(docker: Docker) -> None:
    name = docker.running()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("from-stdin")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"ok"))
    docker("cp", "-", f"{name}:/tmp", input=buffer.getvalue())
    assert docker("exec", name, "cat", "/tmp/from-stdin").out == "ok"


def test_diff(docker: Docker) -> None:
    name = docker.name()
    script = "echo x > /etc/new; rm /etc/group; echo y >> /etc/passwd; mkdir /srv"
    docker("run", "--name", name, "--network", "none", IMAGE, "sh", "-c", script)
    lines = docker("diff", name).lines
    assert set(lines) == {"C /etc", "A /etc/new", "D /etc/group", "C /etc/passwd", "A /srv"}


def test_export_and_import(docker: Docker, tmp_path: Path) -> None:
    name = docker.name()
    docker("run", "--name", name, "--network", "none", IMAGE, "sh", "-c", "echo x > /marker; rm /etc/group")
    docker("export", "-o", str(tmp_path / "fs.tar"), name)
    with tarfile.open(tmp_path / "fs.tar") as tar:
        names = {member.name.rstrip("/").removeprefix("./") for member in tar.getmembers()}
    assert "marker" in names and "etc/passwd" in names and "etc/group" not in names
    tag = f"{name}:imported"
    result = docker(
        "import",
        "-c",
        "ENV A=b",
        "-c",
        'CMD ["cat", "/marker"]',
        "-m",
        "a note",
        str(tmp_path / "fs.tar"),
        tag,
    )
    assert result.out.startswith("sha256:")
    assert docker("run", "--rm", "--network", "none", tag).out == "x\n"
    assert docker("history", "--format", "{{.Comment}}", tag).out.strip() == "a note"
    docker("rmi", tag)


def test_commit(docker: Docker) -> None:
    name = docker.running()
    docker("exec", name, "sh", "-c", "echo committed > /marker")
    tag = f"{name}:committed"
    result = docker("commit", "-a", "someone", "-m", "why", "-c", 'CMD ["cat", "/marker"]', name, tag)
    assert result.out.startswith("sha256:")
    assert docker("run", "--rm", "--network", "none", tag).out == "committed\n"
    assert docker.inspect(tag, "{{.Author}} {{.Comment}}") == "someone why"
    assert docker.inspect(tag, "{{len .RootFS.Layers}}") == "2"
    docker("rmi", tag)


def test_save_and_load(docker: Docker, tmp_path: Path) -> None:
    name = docker.name()
    tag = f"{name}:saved"
    docker("import", "-c", 'CMD ["echo", "loaded"]', "-", tag, input=busybox_tar())
    image_id = docker.inspect(tag, "{{.Id}}")
    archive = tmp_path / "image.tar"
    docker("save", "-o", str(archive), tag)
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert manifest[0]["RepoTags"] == [tag]
    docker("rmi", tag)
    assert docker("load", "-i", str(archive)).out.strip().endswith(f"Loaded image: {tag}")
    assert docker.inspect(tag, "{{.Id}}") == image_id
    assert docker("run", "--rm", "--network", "none", tag).out == "loaded\n"
    docker("rmi", tag)
    compressed = subprocess.run(["gzip", "-1", "-c", str(archive)], capture_output=True, check=True).stdout
    assert docker("load", "-q", input=compressed).out.strip().endswith(f"Loaded image: {tag}")
    docker("rmi", tag)
    broken = docker("load", input=archive.read_bytes()[:200_000], code=1)
    assert broken.err.strip() and "Traceback" not in broken.err


def test_save_many(docker: Docker) -> None:
    name = docker.name()
    docker("tag", IMAGE, f"{name}:a")
    docker("tag", IMAGE, f"{name}:b")
    result = docker("save", f"{name}:a", f"{name}:b", binary=True)
    with tarfile.open(fileobj=io.BytesIO(result.out.encode("latin-1"))) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert {tag for entry in manifest for tag in entry["RepoTags"]} == {f"{name}:a", f"{name}:b"}
    docker("rmi", f"{name}:a", f"{name}:b")


def test_images_tag_rmi_history(docker: Docker) -> None:
    name = docker.name()
    docker("import", "-c", "LABEL suite=" + name, "-", f"{name}:one", input=busybox_tar())
    docker("tag", f"{name}:one", f"example.com:5000/{name}:two")
    mine = ["--filter", f"label=suite={name}"]
    rows = docker("images", *mine, "--format", "{{.Repository}}:{{.Tag}}").lines
    assert sorted(rows) == sorted([f"{name}:one", f"example.com:5000/{name}:two"])
    image_id = docker.inspect(f"{name}:one", "{{.Id}}")
    assert set(docker("images", "-q", "--no-trunc", *mine).lines) == {image_id}
    assert docker("images", "-q", name).lines == [image_id.removeprefix("sha256:")[:12]]
    assert docker("images", "--digests", *mine).lines[0].split()[:3] == ["REPOSITORY", "TAG", "DIGEST"]
    assert len(docker("history", "-q", f"{name}:one").lines) == 1
    assert docker.inspect(image_id[:20], "{{.Os}}") == "linux"
    assert docker("rmi", f"{name}:one").out == f"Untagged: {name}:one\n"
    last = docker("rmi", f"example.com:5000/{name}:two").lines
    assert last[0] == f"Untagged: example.com:5000/{name}:two" and f"Deleted: {image_id}" in last
    assert "No such image" in docker("rmi", f"{name}:one", code=1).err
    assert "nvalid reference" in docker("tag", IMAGE, "UPPER CASE", code=1).err


def test_an_image_in_use_stays(docker: Docker) -> None:
    name = docker.name()
    tag = f"{name}:used"
    docker("import", "-c", f"LABEL suite={name}", "-", tag, input=busybox_tar())
    docker("create", "--name", name, "--network", "none", tag, "true")
    refused = docker("rmi", tag, code=1)
    assert "container" in refused.err and "using" in refused.err
    docker("rm", name)
    docker("rmi", tag)


def test_image_prune(docker: Docker) -> None:
    name = docker.name()
    docker("import", "-c", f"LABEL suite={name}", "-", input=busybox_tar())
    mine = ["--filter", f"label=suite={name}"]
    (image_id,) = docker("images", "-q", "--no-trunc", "--filter", "dangling=true", *mine).lines
    pruned = docker("image", "prune", "-f", *mine)
    assert image_id in pruned.out
    assert docker("images", "-q", *mine).out == ""
