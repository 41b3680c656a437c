"""What ``mctool inspect`` shows: a tree, its documents, one node, and the spans that focus touches most."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mctool.core.inspection import (
    AccessSummary,
    ColdDocument,
    HotSpan,
    NodeAccess,
    NodeReport,
    TreeDocument,
    TreeIngest,
    TreeReport,
)
from mctool.render.palette import BOLD, FAINT, PLACE
from mctool.render.quote import Quote
from mctool.render.safe_text import fit_end, safe_line

LARGEST_DOCUMENTS = 8
LATEST_INGESTS = 5
NODE_LINES = 24
"""Most lines of the text of a node that are shown."""

NODE_DOCUMENTS = 8
CHILDREN_SHOWN = 4
_DIGEST_CHARS = 12
SOURCES_COLUMNS = 60


def bytes_text(n_bytes: float) -> str:
    """A size for people: ``812 B``, ``3.4 MB``; powers of 1000."""
    if n_bytes < 1000:
        return f"{n_bytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        n_bytes /= 1000
        if n_bytes < 999.95:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1000:.1f} TB"


def render_tree(report: TreeReport) -> RenderableType:
    """Draw a whole tree: facts, the largest documents, the latest ingests."""
    facts = _facts(
        ("tree", f"{safe_line(report.tree)}, generation {report.generation}"),
        ("model", safe_line(report.model)),
        ("tokenizer", _digest(report.fingerprint["tokenizer"])),
        ("gists", _gists(report)),
        ("tokens", f"{report.tokens:,} in {_counted(len(report.documents), 'document')}"),
        ("nodes", _nodes(report)),
        ("on disk", _on_disk(report)),
        ("touched", _access(report.access)),
    )
    parts: list[RenderableType] = [facts]
    if report.documents:
        largest = sorted(report.documents, key=lambda document: -document.tokens)[:LARGEST_DOCUMENTS]
        parts += [Text(), Text(f"documents, {_latest(len(largest), len(report.documents), 'largest')}", BOLD)]
        parts.append(_document_sizes(largest))
    if report.history:
        latest = report.history[-LATEST_INGESTS:]
        parts += [Text(), Text(f"ingests, {_latest(len(latest), len(report.history), 'latest')}", BOLD)]
        parts.append(_ingests(latest))
    return Group(*parts)


def render_documents(documents: Sequence[TreeDocument]) -> Table:
    """Draw documents as a table, in the given order."""
    table = _table("timeline", "blocks", "tokens", "lines", "size", "path")
    for document in documents:
        place = f"{document.start_token:,}-{document.end_token:,}"
        table.add_row(place, f"{document.blocks:,}", *_sizes(document), Text(safe_line(document.path), PLACE))
    return table


def render_hot(spans: Sequence[HotSpan]) -> RenderableType:
    """Draw the spans that focus touched, in the given order."""
    if not spans:
        return Text("focus has not touched anything yet", FAINT)
    table = _table("node", "expanded", "collapsed", "cited", "place")
    for span in spans:
        place = f"tokens {span.start_token:,}-{span.end_token:,}, several documents"
        if span.path is not None:
            place = _place(span.path, span.start_line, span.end_line)
        counts = (span.access.expanded, span.access.collapsed, span.access.cited)
        table.add_row(f"{span.lod}:{span.index}", *(f"{count:,}" for count in counts), Text(place, PLACE))
    return table


def render_cold(documents: Sequence[ColdDocument]) -> RenderableType:
    """Draw the documents that focus touched least, in the given order."""
    if not documents:
        return Text("the tree is empty", FAINT)
    table = _table("expanded", "collapsed", "cited", "tokens", "path")
    for document in documents:
        access = document.access
        counts = (access.expanded, access.collapsed, access.cited, document.end_token - document.start_token)
        table.add_row(*(f"{count:,}" for count in counts), Text(safe_line(document.path), PLACE))
    return table


def render_node(report: NodeReport) -> RenderableType:
    """Draw one node: facts, then the text of each document in it, shortened in the middle."""
    n_tokens = report.end_token - report.start_token
    facts = _facts(
        ("node", f"{report.lod}:{report.index} ({'raw text' if report.lod == 0 else f'LOD{report.lod}'})"),
        ("tokens", f"{report.start_token:,}-{report.end_token:,} ({n_tokens:,}, {_counted(report.blocks, 'block')})"),
        ("parent", "none" if report.parent is None else _node(report.parent)),
        ("children", _children(report.children)),
        ("gist", "none" if report.gist_norm is None else f"norm {report.gist_norm:.2f}"),
        ("touched", _touched(report.access)),
    )
    parts: list[RenderableType] = [facts]
    for span in report.spans[:NODE_DOCUMENTS]:
        head = Text(overflow="fold")
        head.append(_place(span.path, span.start_line, span.end_line), PLACE)
        if span.text_blocks < span.blocks:
            shown = f"the first {span.text_blocks} of " if span.text_blocks else ""
            head.append(f"  {shown}{_counted(span.blocks, 'block')}", FAINT)
        parts += [Text(), head]
        if span.text_blocks:
            parts.append(Quote(span.text, NODE_LINES))
    if len(report.spans) > NODE_DOCUMENTS:
        parts += [Text(), Text(f"and {_counted(len(report.spans) - NODE_DOCUMENTS, 'more document')}", FAINT)]
    return Group(*parts)


def _facts(*rows: tuple[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style=FAINT, no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _table(*names: str) -> Table:
    """An empty table: the last column is text that is folded where it is too long, the others are numbers."""
    table = Table(box=None, pad_edge=False, header_style=FAINT, padding=(0, 2, 0, 0))
    for name in names[:-1]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(names[-1], overflow="fold", min_width=12)
    return table


def _document_sizes(documents: Sequence[TreeDocument]) -> Table:
    table = _table("tokens", "lines", "size", "path")
    for document in documents:
        table.add_row(*_sizes(document), Text(safe_line(document.path), PLACE))
    return table


def _sizes(document: TreeDocument) -> tuple[str, str, str]:
    return f"{document.tokens:,}", f"{document.lines:,}", bytes_text(document.bytes)


def _ingests(history: Sequence[TreeIngest]) -> Table:
    table = _table("when (UTC)", "added", "updated", "retired", "tokens", "seconds", "sources")
    for ingest in history:
        counts = (ingest.added, ingest.updated, ingest.retired, ingest.tokens_added)
        table.add_row(
            safe_line(ingest.started_at[:16].replace("T", " ")),
            *(f"{count:,}" for count in counts),
            f"{ingest.seconds:.1f}",
            Text(fit_end(", ".join(map(safe_line, ingest.sources)), SOURCES_COLUMNS)),
        )
    return table


def _gists(report: TreeReport) -> str:
    gistnet = report.fingerprint["gistnet"]
    if gistnet is None:
        return "none: windows show raw text only"
    return f"width {report.fingerprint['d_model']}, GistNet {_digest(gistnet)}"


def _nodes(report: TreeReport) -> str:
    levels = [f"{n_nodes:,} {name.upper()}" for name, n_nodes in report.nodes.items()]
    return ", ".join([f"{report.blocks:,} LOD0", *levels])


def _on_disk(report: TreeReport) -> str:
    arrays = ", ".join(f"{name} {bytes_text(size)}" for name, size in sorted(report.bytes_by_array.items()))
    share = f", {report.bytes_on_disk / report.tokens:.1f} bytes a token" if report.tokens else ""
    return f"{bytes_text(report.bytes_on_disk)}{share}, {report.codec}" + (f" ({arrays})" if arrays else "")


def _access(access: AccessSummary) -> str:
    if not access.nodes:
        return "nothing yet"
    return f"{_counted(access.nodes, 'node')}: {_touched(NodeAccess(access.expanded, access.collapsed, access.cited))}"


def _touched(access: NodeAccess) -> str:
    return f"expanded {access.expanded:,}, collapsed {access.collapsed:,}, cited {access.cited:,} times"


def _children(children: Sequence[Sequence[int]]) -> str:
    if len(children) <= CHILDREN_SHOWN:
        return ", ".join(map(_node, children)) or "none"
    return f"{len(children)}, from {_node(children[0])} to {_node(children[-1])}"


def _node(node: Sequence[int]) -> str:
    return f"{node[0]}:{node[1]}"


def _place(path: str, start_line: int | None, end_line: int | None) -> str:
    return f"{safe_line(path)}:{start_line}-{end_line}"


def _digest(digest: str) -> str:
    return safe_line(digest)[:_DIGEST_CHARS]


def _latest(n_shown: int, n_all: int, which: str) -> str:
    return "all" if n_shown == n_all else f"the {n_shown} {which} of {n_all:,}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
