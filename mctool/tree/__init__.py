"""The MegaContext Tree on disk: everything ever ingested, append-only. FORMAT.md describes the files."""

from mctool.tree.access import AccessCount, remove_damaged_counts
from mctool.tree.fingerprint import Fingerprint
from mctool.tree.gists import GistBuilder
from mctool.tree.keys import KeyBuilder, rekey_tree
from mctool.tree.layout import FORMAT_VERSION, TREE_NAME, Layout, find_tree
from mctool.tree.lexical import LexicalIndex, check_lexical, index_fault, is_behind, remake_lexical
from mctool.tree.repair import TextMaker, repair_keys, repair_segments
from mctool.tree.rewrite import Compaction, archive_documents, compact_tree
from mctool.tree.rows import Document, DocumentMeta, Ingest
from mctool.tree.segments import CODEC
from mctool.tree.tree import TextSpan, Tree
from mctool.tree.tree_keys import NodeScores, TreeKeys
from mctool.tree.verify import Damage, verify_tree
from mctool.tree.writer import TreeWriter, open_writer

__all__ = [
    "CODEC",
    "FORMAT_VERSION",
    "TREE_NAME",
    "AccessCount",
    "Compaction",
    "Damage",
    "Document",
    "DocumentMeta",
    "Fingerprint",
    "GistBuilder",
    "Ingest",
    "KeyBuilder",
    "Layout",
    "LexicalIndex",
    "NodeScores",
    "TextMaker",
    "TextSpan",
    "Tree",
    "TreeKeys",
    "TreeWriter",
    "archive_documents",
    "check_lexical",
    "compact_tree",
    "find_tree",
    "index_fault",
    "is_behind",
    "open_writer",
    "rekey_tree",
    "remake_lexical",
    "remove_damaged_counts",
    "repair_keys",
    "repair_segments",
    "verify_tree",
]
