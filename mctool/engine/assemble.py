"""From a working context to what the base model reads.

A *window* is a row of embeddings with positions: the raw runs of the working context in timeline order, each led by the
name of its document where that changes, gaps between runs marked by an ellipsis; then, nearest to the answer, the
question. Gists stand among the runs when the GistNet in use is known to do no harm there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mctool.core.config import PositionMode
from mctool.core.timeline import IntArray, Timeline
from mctool.engine.prompt import GAP, HEAD, Style, name_line, prompt_ids
from mctool.engine.runs import RawRun, raw_runs
from mctool.focus import WorkingContext, plan_positions
from mctool.nets.base_model import BaseModel
from mctool.nets.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Window:
    """What the base model reads before it answers.

    Attributes:
        embeddings: Shape [n, d].
        positions: Rotary position of each slot, strictly increasing, shape [n].
        n_context: Slots of the working context (raw tokens and gists); the others are names, marks and the question.
    """

    embeddings: Tensor
    positions: IntArray
    n_context: int

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True)
class TreeText:
    """How the assembler reads the tree: token ids of blocks, gists of nodes, and names of documents.

    Attributes:
        timeline: The live timeline.
        tokens: Block ids [n] -> ids [n, 32] and lengths [n].
        gists: Level and node indices [n] -> gists [n, d]; None when no gist may enter a window.
        max_gists: Most gists that may enter a window.
        names: Path of each live document; None leaves names out of the window.
    """

    timeline: Timeline
    tokens: Callable[[IntArray], tuple[np.ndarray, IntArray]]
    gists: Callable[[int, IntArray], np.ndarray] | None = None
    max_gists: int = 0
    names: list[str] | None = None


@dataclass(frozen=True)
class _Piece:
    """A stretch of slots with its place in the timeline; ``decoration`` are its leading slots that are not history."""

    start_token: int
    end_token: int
    decoration: list[int]
    embeddings: Tensor | None
    ids: list[int]


def bare_window(model: BaseModel, tokenizer: TextTokenizer, question: str, style: Style = "short") -> Window:
    """The window of a question without any history."""
    head, tail = prompt_ids(tokenizer, question, style)
    ids = head + tail
    return Window(model.embed(ids), np.arange(len(ids)), 0)


def assemble(
    context: WorkingContext,
    scores: np.ndarray,
    text: TreeText,
    model: BaseModel,
    tokenizer: TextTokenizer,
    question: str,
    *,
    w_max: int,
    reserve: int,
    mode: PositionMode,
    style: Style = "short",
) -> Window:
    """Lay out the window for a question.

    Args:
        context: The working context.
        scores: Focus score of each entry; the best gists enter first, shape [n].
        text: How to read the tree.
        model: Gives embeddings and the number of trained positions.
        tokenizer: The model's.
        question: Stands last.
        w_max: Most slots of the window. Names and marks that do not fit are left out.
        reserve: Positions kept free after the window for the answer.
        mode: How positions are given.
        style: What the prompt asks for.

    Raises:
        BudgetTooSmallError: The window has more slots than the model has positions.
    """
    head, tail = prompt_ids(tokenizer, question, style)
    runs = raw_runs(context, scores)
    spare = w_max - len(head) - len(tail) - sum(run.end_token - run.start_token for run in runs)
    pieces, spare = _raw_pieces(runs, text, tokenizer, head, spare)
    pieces = _with_gists(pieces, context, scores, text, model, max_gists=min(text.max_gists, spare))
    if not pieces:
        return bare_window(model, tokenizer, question, style)
    positions, tail_start = _place(pieces, mode, len(tail) + reserve, model.trained_positions)
    rows = [
        model.embed(piece.decoration + piece.ids) if piece.embeddings is None else piece.embeddings for piece in pieces
    ]
    n_context = sum(len(piece.ids) + (piece.embeddings is not None) for piece in pieces)
    return Window(
        embeddings=torch.cat([*rows, model.embed(tail)]),
        positions=np.concatenate([positions, tail_start + np.arange(len(tail))]),
        n_context=n_context,
    )


@dataclass(frozen=True)
class RawWindow:
    """A window of raw text without a question, as token ids.

    Attributes:
        ids: Token ids, shape [n].
        positions: Rotary position of each, shape [n].
        tail: Position of the first slot after them.
    """

    ids: list[int]
    positions: IntArray
    tail: int


def lay_out(
    context: WorkingContext,
    scores: np.ndarray,
    text: TreeText,
    tokenizer: TextTokenizer,
    *,
    spare: int,
    tail_slots: int,
    trained_positions: int,
    mode: PositionMode,
) -> RawWindow:
    """What :func:`assemble` puts before the question when no gist enters the window; arguments as there.

    Args:
        context: The working context; it has raw text.
        scores: Focus score of each entry, shape [n].
        text: How to read the tree.
        tokenizer: The model's.
        spare: Most slots that names and marks may take.
        tail_slots: Slots of what follows.
        trained_positions: Positions that the model was trained with.
        mode: How positions are given.
    """
    pieces, _ = _raw_pieces(raw_runs(context, scores), text, tokenizer, tokenizer.encode(HEAD), spare)
    positions, tail = _place(pieces, mode, tail_slots, trained_positions)
    return RawWindow([token for piece in pieces for token in piece.decoration + piece.ids], positions, tail)


def _place(pieces: list[_Piece], mode: PositionMode, tail_slots: int, trained_positions: int) -> tuple[IntArray, int]:
    return plan_positions(
        mode,
        np.array([piece.start_token for piece in pieces]),
        np.array([piece.end_token for piece in pieces]),
        np.array([len(piece.decoration) + len(piece.ids) + (piece.embeddings is not None) for piece in pieces]),
        tail_slots,
        trained_positions,
    )


def _raw_pieces(
    runs: list[RawRun], text: TreeText, tokenizer: TextTokenizer, head: list[int], spare: int
) -> tuple[list[_Piece], int]:
    """Raw runs with what is written before each, as far as ``spare`` slots go; and the slots that are left."""
    gap = tokenizer.encode(GAP)
    pieces: list[_Piece] = []
    document = -1
    for run in runs:
        blocks = np.arange(run.first_block, run.end_block)
        ids, lengths = text.tokens(blocks)
        decoration = gap if pieces else []
        if text.names is not None and run.document != document:
            decoration = decoration + tokenizer.encode(name_line(text.names[run.document]))
        if len(decoration) > spare:
            decoration = []
        spare -= len(decoration)
        document = run.document
        pieces.append(
            _Piece(
                start_token=run.start_token,
                end_token=run.end_token,
                decoration=decoration if pieces else head + decoration,
                embeddings=None,
                ids=ids[np.arange(ids.shape[1]) < lengths[:, None]].tolist(),
            )
        )
    return pieces, spare


def _with_gists(
    pieces: list[_Piece],
    context: WorkingContext,
    scores: np.ndarray,
    text: TreeText,
    model: BaseModel,
    max_gists: int,
) -> list[_Piece]:
    """The pieces with the best-scored gist entries among them, in timeline order; none before the first raw run."""
    if text.gists is None or max_gists < 1 or not pieces:
        return pieces
    candidates = np.flatnonzero((context.lod > 0) & (context.start_token >= pieces[0].end_token))
    best = candidates[np.argsort(-scores[candidates], kind="stable")[:max_gists]]
    gists = [
        _Piece(
            start_token=int(context.start_token[place]),
            end_token=int(context.end_token[place]),
            decoration=[],
            embeddings=torch.from_numpy(text.gists(*_node(context, place)).astype(np.float32)).to(
                model.device, model.dtype
            ),
            ids=[],
        )
        for place in best.tolist()
    ]
    return sorted([*pieces, *gists], key=lambda piece: piece.start_token)


def _node(context: WorkingContext, place: int) -> tuple[int, IntArray]:
    lod, index = context.node(place)
    return lod, np.array([index])
