"""corten-runtime for an ordinary user: one id of its own, no cgroup, exec into it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src"
NOBODY = 65534

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("corten_only")]


@pytest.fixture
def rootless(bundle, short_tmp):
    """Run a command line as nobody, on a copy of the bundle in a directory that nobody reaches."""
    directory = short_tmp / "bundle"
    shutil.copytree(bundle.rootfs, directory / "rootfs", symlinks=True)
    mapping = [{"containerID": 0, "hostID": NOBODY, "size": 1}]
    bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.process["args"] = ["sleep", "1000"]
    (directory / "config.json").write_text(json.dumps(bundle.config))
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", short_tmp], check=True)
    short_tmp.chmod(0o755)
    program = "import sys; from corten.runtime.command.main import main; sys.exit(main())"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with open(short_tmp / "err", "w+") as err, open(short_tmp / "out", "w+") as out:
            done = subprocess.run(
                [sys.executable, "-c", program, "--root", str(short_tmp / "state"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
                check=False,
                timeout=60,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                env={"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
            )
            return subprocess.CompletedProcess(
                arguments, done.returncode, (short_tmp / "out").read_text(), (short_tmp / "err").read_text()
            )

    if subprocess.run(["test", "-r", str(SOURCE)], user=NOBODY, check=False).returncode != 0:
        pytest.skip("an ordinary user cannot read this checkout")
    yield run, directory
    run("delete", "--force", "mine")


def test_run_exec_delete(rootless):
    run, directory = rootless
    done = run("run", "--detach", "--bundle", str(directory), "mine")
    assert done.returncode == 0, done.stderr
    done = run(
        "exec", "mine", "sh", "-c", "id -u; cat /proc/self/uid_map; hostname; echo > /dev/null; ps | wc -l"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:5] == ["0", "0", str(NOBODY), "1", "inside"]
    assert run("delete", "--force", "mine").returncode == 0
    assert run("list", "-q").stdout == ""
