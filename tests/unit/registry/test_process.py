from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules["sqlalchemy"] = None
from corten.registry.__main__ import main
sys.exit(main(["serve", "{}"]))
"""


def test_without_the_extra_one_sentence_tells_how_to_install_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "corten: the registry needs SQLAlchemy, which is not installed: pip install 'corten[registry]'\n"
    )


def test_without_what_accounts_need_one_sentence_tells_how_to_install_it() -> None:
    program = PROGRAM.replace("sqlalchemy", "jwt").replace('["serve", "{}"]', "sys.argv[1:]")
    request = '{"accounts": {"action": "list"}}'
    command = [sys.executable, "-c", program, "user", request]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "corten: accounts need jwt, which is not installed: pip install 'corten[registry]'\n"
    )


@pytest.mark.parametrize("arguments", [[], ["serve"], ["serve", "{}", "x"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from corten.registry.__main__ import main

    assert main(arguments) == 125
    assert "usage" in capsys.readouterr().err


def test_the_default_imports_no_object_store_and_no_postgresql() -> None:
    program = (
        "import sys, corten.registry.process;"
        "print([m for m in ('obstore', 'psycopg', 'argon2', 'jwt', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
