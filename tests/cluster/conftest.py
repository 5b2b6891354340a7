"""One control plane and one kubelet for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chart import image, tools

sys.path.append(str(Path(__file__).parent.parent / "acceptance"))

NEEDED = ("ip", "unshare", "setpriv", "openssl", "mount", "debootstrap")


def pytest_collection_modifyitems(items):
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if not tools.can_build():
        missing.append("go")
    if os.geteuid() != 0:
        missing.append("root")
    elif not missing and subprocess.run(["unshare", "--mount", "--net", "true"], check=False).returncode:
        missing.append("the right to make namespaces")
    for item in items:
        if missing and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason=f"no control plane without {', '.join(missing)}"))


@pytest.fixture(scope="session")
def plane():
    from cluster.plane import ControlPlane

    found = ControlPlane()
    try:
        found.start()
        for path in tools.custom_resources():
            found.kubectl("apply", "--server-side", "-f", path)
        yield found
    finally:
        found.stop()
        shutil.rmtree(found.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kubelet(plane, kafka_bootstrap, registry_url):
    from cluster.kubelet import Kubelet

    image.image()
    servers = [*kafka_bootstrap.split(","), urlsplit(registry_url).netloc]
    found = Kubelet(plane, [int(server.rpartition(":")[2]) for server in servers])
    try:
        yield found.start()
    finally:
        found.stop()
        shutil.rmtree(found.folder, ignore_errors=True)
