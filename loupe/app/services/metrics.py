"""The numbers of this server in Prometheus' text form. Names are stable; a dashboard in `deploy/` draws them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from loupe.app.services.system import version

if TYPE_CHECKING:
    from loupe.app.workspace import Workspace

Labelled = Mapping[Any, float]  # tuples of label values


async def prometheus_text(here: "Workspace") -> bytes:
    """Everything, now."""
    registry = CollectorRegistry()
    registry.register(
        _Collected(here, await here.store.jobs.counts(), await here.store.artefact_records.size_by_kind())
    )
    return generate_latest(registry)


class _Collected:
    def __init__(self, here: "Workspace", jobs: dict[str, int], artefacts: dict[str, int]) -> None:
        self.here = here
        self.jobs = jobs
        self.artefacts = artefacts

    def collect(self) -> Iterable[Metric]:
        here = self.here
        yield _gauge("loupe_info", "Version of Loupe.", {(version(),): 1}, "version")
        yield _gauge("loupe_uptime_seconds", "Seconds since the data directory was opened.", here.system.uptime())
        yield _gauge("loupe_jobs", "Jobs on record, by state.", {(k,): v for k, v in self.jobs.items()}, "state")
        yield _gauge("loupe_jobs_live", "Jobs that wait or are worked on now.", len(here.jobs.live))
        yield _gauge("loupe_artefact_bytes", "Bytes kept.", {(k,): v for k, v in self.artefacts.items()}, "kind")
        yield CounterMetricFamily("loupe_events", "Events of the stream since the start.", here.events.last_number)
        yield from self._machine()
        yield from self._device()
        yield from self._latencies()

    def _machine(self) -> Iterable[Metric]:
        sample = self.here.system.latest()
        yield _gauge("loupe_process_memory_bytes", "Memory of this process.", sample.process_bytes)
        yield _gauge("loupe_cpu_percent", "How busy the machine's processors are.", sample.cpu_percent)
        yield _gauge("loupe_loop_lag_seconds", "How late the event loop woke up last.", sample.loop_lag_s)
        busy = {(str(a.index), a.name): a.utilisation_percent for a in sample.accelerators}
        known = {labels: value for labels, value in busy.items() if value is not None}
        yield _gauge("loupe_accelerator_busy_percent", "How busy accelerators are.", known, "index", "name")

    def _device(self) -> Iterable[Metric]:
        device = self.here.engine.running
        if device is None:
            return
        stats, memory = device.stats(), device.memory.memory()
        yield _gauge("loupe_device_waiting", "Jobs waiting for the device.", stats.waiting)
        yield _gauge("loupe_device_paused", "Jobs paused on the device.", stats.paused)
        yield _gauge("loupe_device_memory_used_bytes", "Device memory used by anybody.", memory.used)
        yield _gauge("loupe_device_memory_total_bytes", "Device memory.", memory.total)
        held = {(owner,): size for owner, size in device.memory.holdings().items()}
        yield _gauge("loupe_device_held_bytes", "Device memory by owner.", held, "owner")
        longest = {(row.name,): row.longest_s for row in stats.slices}
        yield _gauge("loupe_slice_longest_seconds", "Longest slice by job name.", longest, "job")
        overruns = CounterMetricFamily("loupe_slice_overruns", "Slices beyond the budget.", labels=["job"])
        for row in stats.slices:
            overruns.add_metric([row.name], row.overruns)
        yield overruns

    def _latencies(self) -> Iterable[Metric]:
        rows = self.here.jobs.latencies.rows()
        shares = {(row.name, q): s for row in rows for q, s in (("0.5", row.p50_s), ("0.95", row.p95_s))}
        yield _gauge("loupe_latency_seconds", "What people wait for.", shares, "what", "quantile")
        counted = SummaryMetricFamily("loupe_waits", "How often that was measured.", labels=["what"])
        for row in rows:
            counted.add_metric([row.name], count_value=row.count, sum_value=row.total_s)
        yield counted


def _gauge(name: str, about: str, value: float | Labelled, *labels: str) -> Metric:
    if not isinstance(value, Mapping):
        return GaugeMetricFamily(name, about, value=value)
    family = GaugeMetricFamily(name, about, labels=list(labels))
    for key, number in value.items():
        family.add_metric(list(key), number)
    return family
