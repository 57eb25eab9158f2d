"""The metrics for Prometheus: made once and handed down, with no global registry."""

import functools

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 60)
_SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """All series of one process; names and meanings are listed in docs/OPERATIONS.md."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = functools.partial(Counter, registry=self.registry)
        histogram = functools.partial(Histogram, registry=self.registry)
        gauge = functools.partial(Gauge, registry=self.registry)
        ProcessCollector(registry=self.registry)
        self.connected = gauge("rewarm_connected", "1 while every shard is connected to Discord, else 0.")
        self.servers = gauge("rewarm_servers", "Servers that the bot is in.")
        self.open = gauge("rewarm_reloads_open", "Reloads that have not ended.")
        self.edit_interval = gauge(
            "rewarm_edit_interval_seconds", "Between two edits of a countdown; longer where there are many."
        )
        self.tasks = gauge("rewarm_tasks", "Tasks of the event loop.")
        self.forms = gauge("rewarm_forms", "Forms that are open, or were left.")
        self.ended = counter("rewarm_reloads_ended", "Reloads whose ending was announced.", ["ending"])
        self.respond = histogram(
            "rewarm_first_answer_seconds",
            "From a command to its first answer, by Discord's clock and ours.",
            buckets=_SECONDS,
        )
        self.late = histogram("rewarm_ending_late_seconds", "How late an ending was shown.", buckets=_SECONDS)
        self.discord_calls = counter(
            "rewarm_discord_calls",
            "First answers, edits and pings, by what came of them.",
            ["call", "result"],
        )
        self.events_skipped = counter(
            "rewarm_gateway_events_skipped", "Events of Discord's that could not be read.", ["event"]
        )
        self.model_api_calls = counter(
            "rewarm_model_api_calls", "Calls to the model API, by what came of them.", ["call", "outcome"]
        )
        self.model_api_seconds = histogram(
            "rewarm_model_api_seconds", "How long calls to the model API took.", ["call"], buckets=_SECONDS
        )
        self.store_seconds = histogram(
            "rewarm_store_write_seconds", "How long writes to the store took.", buckets=_SHORT
        )
        self.store_failures = counter(
            "rewarm_store_write_failures", "Writes to the store that failed, or took too long."
        )
        self.loop_lag = histogram(
            "rewarm_loop_lag_seconds", "How late the event loop woke up.", buckets=_SHORT
        )

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
