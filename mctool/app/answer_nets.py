"""The base model as an answer needs it: with its adapter, loaded with the first use and then kept.

torch is imported with the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from mctool.core.errors import MismatchError
from mctool.core.evidence import Evidence
from mctool.nets.adapter_card import AdapterFolder, find_adapter
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.names import is_code

if TYPE_CHECKING:
    from mctool.app.code_places import CodePlaces
    from mctool.engine.answer import Answer, AnswerConfig
    from mctool.engine.assemble import Window
    from mctool.engine.prompt import Style
    from mctool.nets.base_model import BaseModel


@dataclass(frozen=True)
class Reading:
    """What came of a window.

    Attributes:
        window: What was read first.
        answer: The answer; None where the adapter tells that the window holds none.
        support: Log odds that the window holds an answer; None without an adapter.
        silence: Log odds that the adapter would say nothing; None without one.
        prefill_seconds: Time spent reading windows.
        first_token_at: ``time.perf_counter()`` when it was known how the answer begins, or that there is none.
    """

    window: Window
    answer: Answer | None
    support: float | None
    silence: float | None
    prefill_seconds: float
    first_token_at: float


def reading_kind(style: Style, shown: Iterable[tuple[str, int]]) -> str:
    """By which threshold of an adapter's card it is told whether a window holds an answer: ``code`` when it is code.

    Args:
        style: What the prompt asks for.
        shown: Path and number of tokens of each stretch of raw text.
    """
    code = sum(tokens if is_code(path) else -tokens for path, tokens in shown)
    return "code" if code > 0 else style


class AnswerNets:
    """A base model, and the adapter that it answers with; several readers may share one.

    Attributes:
        files: The model.
        tokenizer: Its tokenizer.
        adapter: The adapter; None for the plain base model.
    """

    def __init__(
        self, files: ModelFiles, tokenizer: TextTokenizer, device: str, dtype: str, adapter: AdapterFolder | None
    ) -> None:
        """Take a model and an adapter, without loading them.

        Args:
            files: The model.
            tokenizer: Its tokenizer.
            device: Where it computes, as given to ``--device``.
            dtype: Type of its weights, as given to ``--dtype``.
            adapter: The adapter; None for the plain base model.

        Raises:
            MismatchError: The adapter was made for another model.
        """
        if adapter is not None:
            adapter.require(files, tokenizer.fingerprint)
        self.files, self.tokenizer, self.adapter = files, tokenizer, adapter
        self._device, self._dtype = device, dtype

    @classmethod
    def of_model(cls, files: ModelFiles, tokenizer: TextTokenizer, device: str, dtype: str, lora: bool) -> Self:
        """A model with the adapter that is known for it, unless ``lora`` is off; raises as the constructor does."""
        return cls(files, tokenizer, device, dtype, find_adapter(files.name) if lora else None)

    @cached_property
    def model(self) -> BaseModel:
        """The base model, the adapter merged into it.

        Raises:
            MismatchError: The files of the model or of the adapter cannot be used.
            MissingBackendError: The device is not on this machine.
            UsageError: There is no such device or dtype.
            ResourceError: Out of memory.
        """
        from mctool.nets.startup import gc_paused

        with gc_paused():
            model_class = self._model_class()
        model = model_class.load(self.files, self._device, self._dtype, self.adapter.folder if self.adapter else None)
        if self.adapter is not None and not model.eos_ids:
            raise MismatchError(
                f"{model.name} has no end tokens, by which its adapter tells that there is no answer",
                "run with --no-lora",
            )
        return model

    def _model_class(self) -> type[BaseModel]:
        from mctool.nets.base_model import BaseModel

        return BaseModel

    def answer(
        self,
        window: Window,
        kind: str,
        config: AnswerConfig,
        evidence: Evidence | None = None,
        on_text: Callable[[str], None] | None = None,
        refocus: Callable[[str], Window | None] | None = None,
        places: CodePlaces | None = None,
    ) -> Reading:
        """Read a window, and answer from it unless the adapter tells that it holds no answer.

        Args:
            window: Ends with a prompt.
            kind: What the window holds and what its prompt asks for, see :func:`reading_kind`.
            config: How tokens are chosen; with an adapter, its card alone decides whether there is an answer.
            evidence: What the lens found for the question; None where no lens has chosen the text.
            on_text: See :func:`mctool.engine.answer.decode_answer`.
            refocus: See there.
            places: The functions and classes that the window shows, where a name may be asked for; None without an
                adapter, which alone has learnt to answer by one. See :class:`mctool.app.code_places.CodePlaces`.
        """
        from mctool.engine.answer import decode_answer, likeliest_answer, read_window, silence

        started = time.perf_counter()
        decoding = read_window(self.model, window)
        prefill_seconds = time.perf_counter() - started
        support = odds = answer = None
        if self.adapter is not None:
            odds = silence(decoding, self.model.eos_ids)
            support = self.adapter.card.support_odds(odds, kind, evidence)
            if support < 0:
                return Reading(window, None, support, odds, prefill_seconds, time.perf_counter())
            config = replace(config, must_speak=True)
            if kind == "short" and not config.temperature:
                answer = likeliest_answer(self.model, self.tokenizer, window, decoding, config.max_new_tokens)
        if answer is not None:
            if on_text is not None:
                on_text(answer.text)
        else:
            answer = decode_answer(
                self.model, self.tokenizer, window, config,
                on_text=None if places else on_text, refocus=refocus, read=decoding,
            )  # fmt: skip
            if places is not None:
                naming = time.perf_counter()
                if name := places.named(answer.text):
                    answer = replace(answer, text=name, ids=self.tokenizer.encode(f" {name}"))
                now = time.perf_counter()  # nothing of the answer was told before
                answer = replace(answer, first_token_at=now, decode_seconds=answer.decode_seconds + now - naming)
                if on_text is not None:
                    on_text(answer.text)
        first_token_at = answer.first_token_at or time.perf_counter()
        return Reading(window, answer, support, odds, prefill_seconds + answer.prefill_seconds, first_token_at)
