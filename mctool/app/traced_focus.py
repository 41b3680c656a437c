"""Focus for a question as a trace would record it, without a file."""

from __future__ import annotations

import io

from mctool.app.ask import Reader
from mctool.app.listeners import Listeners
from mctool.app.read_trace import read_trace
from mctool.app.trace import Trace
from mctool.core.config import AskConfig
from mctool.core.inspection import TracedQuestion


def traced_focus(reader: Reader, question: str, config: AskConfig) -> TracedQuestion:
    """Refocus for a question, without an answer; raises as :meth:`Reader.ask` does."""
    stream = io.StringIO()
    reader.focus(question, config, Listeners(trace=Trace(stream)))
    (traced,) = read_trace(stream.getvalue().split("\n"), "the focus")
    return traced
