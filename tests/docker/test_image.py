"""The image holds what runs in it, and nothing of how it was made."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from thalweg.launching import usual_image


def docker(*arguments: str) -> str:
    """Runs `docker`; fails with what it says."""
    found = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    return found.stdout


def inside(script: str) -> list[str]:
    """Lines that root finds in a container of the image."""
    options = ["--rm", "--network", "none", "--user", "0", "--entrypoint", "sh"]
    return docker("run", *options, usual_image(), "-euc", script).splitlines()


@pytest.fixture(scope="module")
def index() -> str | None:
    """Where this machine's pip finds packages, if it was told."""
    found = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True)
    return found.stdout.strip() or os.environ.get("PIP_INDEX_URL")


def test_neither_its_history_nor_its_settings_have_a_key_or_an_index(index: str | None) -> None:
    (facts,) = json.loads(docker("inspect", usual_image()))
    assert not [one for one in facts["Config"]["Env"] if re.search(r"KEY|SECRET|PASSWORD|TOKEN|CREDENTIAL", one.partition("=")[0])]
    assert "THALWEG_ALIVE_FILE=/tmp/alive" in facts["Config"]["Env"] and facts["Config"]["User"] == "10001:10001"
    shown = json.dumps(facts) + docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", usual_image())
    assert "thalweg-service" in shown
    assert not re.search(r"index-url|://[^/\s]*@|BEGIN [A-Z ]*PRIVATE", shown)
    assert index is None or index not in shown


def test_it_has_no_cache_no_build_tool_and_no_setting_of_the_build(index: str | None) -> None:
    assert inside("for one in cc gcc make git curl wget uv hatchling; do command -v $one || true; done") == []
    assert inside("find /var/lib/apt/lists /var/cache/apt -name '*_*' -o -name '*.bin'; find /opt /root /home /tmp -name '*.whl'") == []
    assert inside("ls -d /root/.cache /tmp/* /src /run/secrets /opt/build /etc/pip.conf 2>/dev/null || true") == []
    assert index is None or inside(f"grep -rIlF '{index}' /opt/thalweg /etc || true") == []


def test_its_user_can_change_nothing_but_its_folder() -> None:
    assert inside("find / -xdev \\( -user 10001 -o -group 10001 -o -perm -o+w ! -perm -1000 \\) ! -type l ! -path '/proc/*'") == ["/data"]


def test_all_code_is_compiled_since_a_read_only_container_could_keep_nothing() -> None:
    count = "import thalweg, pathlib; f = pathlib.Path(thalweg.__file__).parent; print(len([*f.rglob('*.py')]), len([*f.rglob('*.pyc')]))"
    sources, compiled = map(int, inside(f'python -c "{count}"')[0].split())
    assert sources == compiled > 100
