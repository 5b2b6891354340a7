"""The volumes of a pod as folders, with ConfigMaps and Secrets swapped as Kubernetes swaps them."""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from typing import TYPE_CHECKING, Any

from cluster.plane import ApiError

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.plane import ControlPlane


class MissingError(Exception):
    """An object that a volume needs is not there yet."""


class Volumes:
    """Folders of one pod, by the name of the volume."""

    def __init__(self, plane: ControlPlane, pod: dict[str, Any], folder: Path, claims: Path) -> None:
        self._plane = plane
        self._namespace = pod["metadata"]["namespace"]
        self._volumes = pod["spec"].get("volumes", [])
        self._group = pod["spec"].get("securityContext", {}).get("fsGroup", 0)
        self._folder = folder
        self._claims = claims
        self._versions: dict[str, str] = {}

    def path(self, name: str) -> Path:
        volume = next(one for one in self._volumes if one["name"] == name)
        if "persistentVolumeClaim" in volume:
            return self._claims / f"{self._namespace}-{volume['persistentVolumeClaim']['claimName']}"
        return self._folder / name

    def make(self) -> None:
        """Every volume; raises MissingError."""
        for volume in self._volumes:
            path = self.path(volume["name"])
            path.mkdir(parents=True, exist_ok=True)
            if "configMap" in volume or "secret" in volume:
                continue
            os.chown(path, 0, self._group)
            path.chmod(0o2775)
        self.refresh()

    def refresh(self) -> None:
        """Write what has changed; raises MissingError."""
        for volume in self._volumes:
            if "configMap" in volume:
                found = self._object("configmaps", volume["configMap"]["name"])
                data = {key: text.encode() for key, text in found.get("data", {}).items()}
                self._swap(volume["name"], found, data, volume["configMap"])
            elif "secret" in volume:
                found = self._object("secrets", volume["secret"]["secretName"])
                data = {key: base64.b64decode(text) for key, text in found.get("data", {}).items()}
                self._swap(volume["name"], found, data, volume["secret"])

    def _object(self, kind: str, name: str) -> Any:
        try:
            return self._plane.request("GET", f"/api/v1/namespaces/{self._namespace}/{kind}/{name}")
        except ApiError as error:
            raise MissingError(f"{kind} {name}: {error}") from None

    def _swap(self, name: str, found: Any, data: dict[str, bytes], source: dict[str, Any]) -> None:
        """New files in a new folder, then one rename of the link that everything goes through."""
        version = found["metadata"]["resourceVersion"]
        if self._versions.get(name) == version:
            return
        items = source.get("items") or [{"key": key, "path": key} for key in data]
        missing = [item["key"] for item in items if item["key"] not in data]
        if missing:
            raise MissingError(f"{name} has no key {missing[0]}")
        folder = self._folder / name
        fresh = folder / f"..{uuid.uuid4().hex}"
        fresh.mkdir()
        for item in items:
            file = fresh / item["path"]
            file.write_bytes(data[item["key"]])
            file.chmod(source.get("defaultMode", 0o644))
            os.chown(file, 0, self._group)
            link = folder / item["path"]
            if not link.is_symlink():
                link.symlink_to(f"..data/{item['path']}")
        (folder / "..next").symlink_to(fresh.name)
        old = (folder / "..data").readlink() if (folder / "..data").is_symlink() else None
        (folder / "..next").rename(folder / "..data")
        if old is not None:
            shutil.rmtree(folder / old)
        self._versions[name] = version
