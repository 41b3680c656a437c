"""Spans of OpenTelemetry: what an answer spent its time on, for the collector that the user runs.

Switched on as everywhere else, by the variable ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``..._TRACES_ENDPOINT``); all other
variables of the standard count as well. Without it nothing of OpenTelemetry is imported. Spans carry names and numbers;
no question, no text of a document and no answer leaves the process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from mctool.app.listeners import Listeners, Stage
from mctool.core.errors import MctoolError
from mctool.core.records import AskReport
from mctool.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SERVICE = "mctool"
EXPORT_TIMEOUT_S = 3.0
"""How long the end of the program waits for a collector, unless ``OTEL_EXPORTER_OTLP_TIMEOUT`` says otherwise."""

Finish = Callable[[AskReport], AskReport]
"""Notes what came of a question, and gives it back."""


def wants_spans() -> bool:
    """Whether the user has named a collector and has not switched tracing off."""
    is_off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    return not is_off and any(os.environ.get(name) for name in ENDPOINTS)


def exports_spans(report: Callable[[str], None]) -> bool:
    """Whether spans are wanted and can be made; ``report`` takes a line for the user where only the packages lack.

    Answers do not fail for that: the variable may stand in an environment that was not made for this program.
    """
    if not wants_spans():
        return False
    if _tracer() is None:
        report('spans are not exported: OpenTelemetry is not installed; pip install "mctool[otel]"')
        return False
    return True


@contextmanager
def ask_span(listeners: Listeners) -> Iterator[tuple[Listeners, Finish]]:
    """A span for one question, with one below it for each part of the work; only where :func:`exports_spans`.

    Args:
        listeners: Who else is told.

    Yields:
        Listeners that make the spans below, and what takes the report in the end.
    """
    from opentelemetry.trace import Status, StatusCode

    tracer = _tracer()
    if tracer is None:
        raise ValueError("there is no OpenTelemetry to make spans with")
    offset_ns = time.time_ns() - round(time.perf_counter() * 1e9)
    with tracer.start_as_current_span("mctool.ask", record_exception=False, set_status_on_exception=False) as span:

        def on_stage(stage: Stage) -> None:
            started = offset_ns + round(stage.started * 1e9)
            facts = {f"mctool.{stage.name}.{name}": value for name, value in stage.facts.items()}
            part = tracer.start_span(f"mctool.{stage.name}", start_time=started, attributes=facts)
            part.end(started + round(stage.seconds * 1e9))
            if listeners.on_stage is not None:
                listeners.on_stage(stage)

        try:
            yield replace(listeners, on_stage=on_stage), lambda done: _finish(span, done)
        except BaseException as error:
            kind = error.kind if isinstance(error, MctoolError) else type(error).__name__
            span.set_attribute("error.type", kind)
            span.set_status(Status(StatusCode.ERROR))
            raise


def _finish(span: Span, report: AskReport) -> AskReport:
    """Names of the model and of usage are those of the standard's conventions for generative AI."""
    focus, usage = report.focus, report.usage
    span.set_attributes(
        {
            "gen_ai.request.model": report.model,
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "mctool.lens": report.lens,
            "mctool.positions": report.positions,
            "mctool.supported": report.supported,
            "mctool.citations": len(report.citations),
            "mctool.window.slots": usage.window_slots,
            "mctool.focus.w_max": focus.w_max,
            "mctool.focus.cost": focus.cost,
            "mctool.focus.iterations": len(focus.iterations),
            "mctool.tree.tokens": report.tree.tokens,
            "mctool.tree.documents": report.tree.documents,
            "mctool.seconds.first_token": report.seconds.first_token,
            "mctool.peak_rss_mb": report.peak_rss_mb,
        }
    )
    return report


@cache
def _tracer() -> Tracer | None:
    """The tracer of the program around us if that has set one up, else our own; None without the packages."""
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return None
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        names = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: SERVICE}
        provider = TracerProvider(resource=Resource.create(names))
        timeout = None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else EXPORT_TIMEOUT_S
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
        trace.set_tracer_provider(provider)
    return trace.get_tracer("mctool", __version__)
