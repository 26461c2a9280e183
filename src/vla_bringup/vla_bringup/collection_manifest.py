"""The list of a collection's finished episodes, so that it can go on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from vla_bringup.collection_types import CollectionError

MANIFEST: Final = "collection.json"


class Manifest:
    """`collection.json`: the settings of a collection and what became of each episode."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], episodes: dict[str, Any]) -> None:
        self._folder = folder
        self._path = folder / MANIFEST
        self._settings = dict(settings)
        self.episodes = episodes

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Any]) -> Manifest:
        """Read it, or begin a new one; only episodes whose bag is there count.

        Raises:
            CollectionError: the folder holds a collection with other settings.
        """
        path = folder / MANIFEST
        episodes: dict[str, Any] = {}
        if path.exists():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
                found, listed = stored["settings"], stored["episodes"]
            except (ValueError, KeyError, TypeError) as error:
                raise CollectionError(
                    f"{path} is damaged ({error}); remove the folder, or choose another (--out)"
                ) from error
            differences = [
                f"{key} {found.get(key)} there, {settings[key]} now"
                for key in settings
                if found.get(key) != settings[key]
            ]
            if differences:
                raise CollectionError(
                    f"{folder} holds demonstrations of another kind: {'; '.join(differences)}; "
                    f"choose another folder (--out)"
                )
            episodes = {n: record for n, record in listed.items() if (folder / n).is_dir()}
        manifest = cls(folder, settings, episodes)
        manifest._write()
        return manifest

    def require_free(self, names: Iterable[str]) -> None:
        """Make sure that no bag of somebody else's stands where an episode is to go.

        Raises:
            CollectionError: one does.
        """
        for name in names:
            if name not in self.episodes and (self._folder / name).exists():
                raise CollectionError(
                    f"{self._folder / name} exists already and is not from this collection; move "
                    f"it away, or choose another folder (--out)"
                )

    def add(self, record: Mapping[str, Any], bag: Path) -> None:
        """Note a finished episode and move its bag into the folder.

        In this order: a note without its bag is done again, a bag without a note would be
        somebody else's.
        """
        target = self._folder / bag.name
        self.episodes[bag.name] = {**record, "bag": str(target)}
        self._write()
        bag.rename(target)

    def _write(self) -> None:
        values = {"settings": self._settings, "episodes": self.episodes}
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(values, indent=1), encoding="utf-8")
        temporary.replace(self._path)
