"""A container as a process: the image's root under an overlay, volumes mounted, the right user, nothing else."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from chart import image

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.network import Network
    from cluster.volumes import Volumes


class Container:
    """One run of one container of a pod."""

    def __init__(self, pod: dict[str, Any], spec: dict[str, Any], folder: Path) -> None:
        self.pod = pod
        self.spec = spec
        self.folder = folder
        self.log = folder / f"{spec['name']}.log"
        self.started = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, network: Network, volumes: Volumes) -> None:
        merged = self.folder / self.spec["name"]
        script = "\n".join([*self._mounts(merged, volumes), self._program(merged)])
        command = ["ip", "netns", "exec", network.name, "unshare", "--mount", "--uts", "sh", "-ec", script]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def code(self) -> int | None:
        """Its exit code; None while it runs. A signal counts as in a shell."""
        code = None if self._process is None else self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def end(self, grace: float) -> bool:
        """SIGTERM, then SIGKILL; True if it ended by itself in time."""
        self.signal(signal.SIGTERM)
        assert self._process is not None
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait()
            return False
        return True

    def _mounts(self, merged: Path, volumes: Volumes) -> list[str]:
        upper, work = self.folder / f"{self.spec['name']}-upper", self.folder / f"{self.spec['name']}-work"
        for path in (merged, upper, work):
            path.mkdir(exist_ok=True)
        options = f"lowerdir={image.image()},upperdir={upper},workdir={work}"
        lines = [
            f"hostname {self.pod['metadata']['name']}",
            f"mount -t overlay overlay -o {options} {merged}",
            f"mkdir -p {merged}/proc {merged}/dev",
        ]
        for mount in self.spec.get("volumeMounts", []):
            target = f"{merged}{mount['mountPath']}"
            lines += [f"mkdir -p {target}", f"mount --bind {volumes.path(mount['name'])} {target}"]
            if mount.get("readOnly"):
                lines.append(f"mount -o remount,bind,ro {target}")
        lines += [f"mount -t proc proc {merged}/proc", f"mount --rbind /dev {merged}/dev"]
        if self.spec.get("securityContext", {}).get("readOnlyRootFilesystem"):
            lines.append(f"mount -o remount,ro {merged}")
        return lines

    def _program(self, merged: Path) -> str:
        context = self.pod["spec"]["securityContext"] | self.spec.get("securityContext", {})
        user, group = context["runAsUser"], context["runAsGroup"]
        drop = ["--bounding-set=-all", "--inh-caps=-all"] if "ALL" in context["capabilities"]["drop"] else []
        privileges = [] if context["allowPrivilegeEscalation"] else ["--no-new-privs"]
        groups = f"--groups={self.pod['spec']['securityContext'].get('fsGroup', group)}"
        who = ["setpriv", f"--reuid={user}", f"--regid={group}", groups, *drop, *privileges]
        settings = image.settings() | {"HOME": "/", "HOSTNAME": self.pod["metadata"]["name"]}
        settings |= {one["name"]: one.get("value", "") for one in self.spec.get("env", [])}
        pairs = [f"{name}={value}" for name, value in settings.items()]
        folder = "/opt/zendesk-chat-kafka"
        arguments = [*(self.spec.get("command") or image.entrypoint()), *self.spec.get("args", [])]
        return f"exec chroot {merged} " + shlex.join([*who, "env", "-i", f"--chdir={folder}", *pairs, *arguments])
