"""Every path and array name of a tree on disk, once; FORMAT.md beside this file describes them in prose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FORMAT_VERSION = 1
"""Version of the on-disk format. It grows when an older mctool could misread what a newer one writes."""

ARCHIVE_FORMAT = 2
"""Version of a tree as long as it has archived documents, whose blocks older ones would take for zeros."""

TREE_NAME = ".mctool"

LOD0 = "lod0"
LOD1 = "lod1"
TEXT = "text"
BYTE_START = "byte_start"
CHAR_START = "char_start"
LINE_START = "line_start"
TEXT_ARRAYS = (TEXT, BYTE_START, CHAR_START, LINE_START)

KEYS = "keys"
KEY_SCALE = "scale"
CENTROIDS = "centroids"
CENTROID_SCALE = "centroid_scale"
CHECKED_ARRAYS = (KEYS, CENTROIDS, CENTROID_SCALE)
"""Arrays that are stored as they are, with checksums, to be read in parts."""


def lod_array(lod: int) -> str:
    """Name of the array of a level within its group: ``lod1`` of a segment, ``lod2`` and up of its parents."""
    return f"lod{lod}"


def parents_group(revision: int) -> str:
    """Name of the group, within a segment, that holds LOD2 and up as of a revision."""
    return f"parents-{revision}"


def gists_array(lod: int, revision: int) -> str:
    """Path, within a segment, of the gists of a level >= 1 as of a revision of its parents."""
    return LOD1 if lod == 1 else f"{parents_group(revision)}/{lod_array(lod)}"


@dataclass(frozen=True)
class Layout:
    """Where the parts of the tree at ``root`` lie."""

    root: Path

    @property
    def catalog(self) -> Path:
        """SQLite catalog: the truth about what the tree holds."""
        return self.root / "catalog.sqlite"

    @property
    def access(self) -> Path:
        """SQLite file of mutation access counts."""
        return self.root / "access.sqlite"

    @property
    def segments(self) -> Path:
        """Directory of the segments. Readers and the removal of old revisions lock it against each other."""
        return self.root / "segments"

    @property
    def keys(self) -> Path:
        """Directory of the lens keys, derived from the segments; the lock of the segments guards it too."""
        return self.root / "keys"

    @property
    def archive(self) -> Path:
        """Directory of the text of archived documents, a file each."""
        return self.root / "archive"

    def archived(self, name: str) -> Path:
        """One file of the archive."""
        return self.archive / name

    @property
    def lexical(self) -> Path:
        """Directory of the lexical index, derived from the segments."""
        return self.root / "lexical"

    @property
    def former_lexical(self) -> Path:
        """Where a lexical index is put that is about to be removed."""
        return self.root / "lexical.former"

    @property
    def lexical_index(self) -> Path:
        """Directory of the tantivy index."""
        return self.lexical / "index"

    @property
    def lexical_stamp(self) -> Path:
        """What the lexical index belongs to, as JSON."""
        return self.lexical / "stamp.json"

    def segment(self, name: str) -> Path:
        """Directory of one sealed segment: a Zarr v3 group."""
        return self.segments / name

    def unsealed(self, name: str) -> Path:
        """Where a segment or a revision is written before it is renamed into place."""
        return self.segments / f".writing-{name}"

    def segment_keys(self, name: str, encoder: str) -> Path:
        """Directory of the keys of one segment, made by the key encoder with a fingerprint: a Zarr v3 group."""
        return self.keys / f"{name}-{encoder[:12]}"

    def unfinished_keys(self, name: str) -> Path:
        """Where the keys of a segment are written before they are renamed into place."""
        return self.keys / f".writing-{name}"

    @staticmethod
    def segment_name(number: int, digest: str) -> str:
        """Directory name of segment ``number`` whose content has the sha256 ``digest``."""
        return f"{number:06d}-{digest[:12]}"

    @staticmethod
    def repaired_name(name: str) -> str:
        """Directory name of a segment that is to stand in for the damaged one called ``name``."""
        number, digest = name.split("-")
        digest, _, repairs = digest.partition("r")
        return f"{number}-{digest}r{int(repairs or 0) + 1}"

    @staticmethod
    def manifest(group: Path) -> Path:
        """Checksums of a sealed segment, or of its keys, as first written; lets a later ingest adopt it."""
        return group / "manifest.json"


def find_tree(start: Path) -> Path | None:
    """The nearest tree at or above ``start``, as git finds ``.git``; None when there is none."""
    start = start.absolute()
    for place in (start, *start.parents):
        layout = Layout(place / TREE_NAME)
        if layout.catalog.is_file() or layout.segments.is_dir():
            return layout.root
    return None
