"""What is measured, for Prometheus. Made once, and handed down: no global registry."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 60)
_SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """All series of one process; names and meanings are listed in docs/OPERATIONS.md."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.servers = Gauge("rewarm_servers", "Servers that the bot is in.", registry=self.registry)
        self.open = Gauge("rewarm_reloads_open", "Reloads that have not ended.", registry=self.registry)
        self.tasks = Gauge("rewarm_tasks", "Tasks of the event loop.", registry=self.registry)
        self.forms = Gauge("rewarm_forms", "Forms that are open, or were left.", registry=self.registry)
        self.ended = Counter(
            "rewarm_reloads_ended", "Reloads that ended and were told.", ["ending"], registry=self.registry
        )
        self.first_answer = Histogram(
            "rewarm_first_answer_seconds",
            "From a command to its first answer, by Discord's clock and ours.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.late = Histogram(
            "rewarm_ending_late_seconds",
            "How late an ending was shown.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.discord_calls = Counter(
            "rewarm_discord_calls",
            "First answers, edits and pings, by what came of them.",
            ["call", "result"],
            registry=self.registry,
        )
        self.model_api_calls = Counter(
            "rewarm_model_api_calls",
            "Calls to the model API, by what came of them.",
            ["call", "outcome"],
            registry=self.registry,
        )
        self.model_api_seconds = Histogram(
            "rewarm_model_api_seconds",
            "How long calls to the model API took.",
            ["call"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.store_seconds = Histogram(
            "rewarm_store_write_seconds",
            "How long writes to the store took.",
            buckets=_SHORT,
            registry=self.registry,
        )
        self.store_failures = Counter(
            "rewarm_store_write_failures",
            "Writes to the store that failed, or took too long.",
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "rewarm_loop_lag_seconds",
            "How late the event loop woke up.",
            buckets=_SHORT,
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
