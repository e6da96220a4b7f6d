"""Everything one process works with, opened once and closed in order: the store, the engine, the services."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loupe.app.bridge import Bridge
from loupe.app.outbound.hub import Hub
from loupe.app.outbound.hub_datasets import DatasetHub
from loupe.app.outbound.hub_saes import SaeHub
from loupe.app.outbound.token import HubToken, no_keyring, system_keyring
from loupe.app.services.activations import Activations
from loupe.app.services.analysis import Analyses
from loupe.app.services.backups import Backups
from loupe.app.services.catalogue import Catalogue
from loupe.app.services.datasets import Datasets
from loupe.app.services.diagnostics import Logbook
from loupe.app.services.downloads import Downloads
from loupe.app.services.engine import Engine
from loupe.app.services.events import EventStream
from loupe.app.services.generation import Generations
from loupe.app.services.groups import Groups
from loupe.app.services.history import History
from loupe.app.services.jobs import Jobs
from loupe.app.services.lenses import Lenses
from loupe.app.services.library import Library
from loupe.app.services.loads import Loads
from loupe.app.services.models import Models
from loupe.app.services.placements import Placements
from loupe.app.services.run_uploads import RunUploads
from loupe.app.services.runs import Runs
from loupe.app.services.sae_exchange import SaeExchange
from loupe.app.services.saes import Saes
from loupe.app.services.safekeeping import Safekeeping, safekept
from loupe.app.services.sweeper import Sweeper
from loupe.app.services.system import System
from loupe.app.services.templates import Templates
from loupe.app.services.trainings import Trainings
from loupe.app.services.uploads import Uploads
from loupe.app.services.warm_up import WarmUp
from loupe.app.settings import Settings, starter_folder
from loupe.app.turnstile import Turnstile
from loupe.storage.store import Store, open_store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The open data directory and the services on it. Passed to whoever needs them; never a global."""

    settings: Settings
    store: Store
    bridge: Bridge
    events: EventStream
    jobs: Jobs
    engine: Engine
    warm_up: WarmUp
    turnstile: Turnstile
    catalogue: Catalogue
    groups: Groups
    models: Models
    analyses: Analyses
    generations: Generations
    runs: Runs
    run_uploads: RunUploads
    loads: Loads
    placements: Placements
    library: Library
    sweeper: Sweeper
    uploads: Uploads
    datasets: Datasets
    activations: Activations
    trainings: Trainings
    templates: Templates
    saes: Saes
    sae_exchange: SaeExchange
    lenses: Lenses
    hub_token: HubToken
    downloads: Downloads
    system: System
    backups: Backups
    history: History
    logbook: Logbook
    safekeeping: Safekeeping | None


@asynccontextmanager
async def open_workspace(settings: Settings) -> AsyncIterator[Workspace]:
    """Open the data directory, alone, and start the services. Raises whatever `open_store` raises."""
    async with (
        open_store(settings.home) as store,
        safekept(store, settings.backup_dir, settings.backup_every_min) as safekeeping,
    ):
        _tell(store)
        workspace = _services(settings, store, safekeeping)
        workspace.bridge.attach()
        await asyncio.to_thread(workspace.downloads.clear)
        await workspace.groups.open()
        await workspace.placements.open()
        await workspace.datasets.with_stories()
        await workspace.saes.open()
        await workspace.lenses.open()
        await workspace.activations.open()
        await workspace.uploads.open()
        workspace.sweeper.start()
        workspace.history.start()
        logging.getLogger().addHandler(workspace.logbook)
        try:
            yield workspace
        finally:
            logging.getLogger().removeHandler(workspace.logbook)
            await workspace.history.close()
            await workspace.sweeper.close()
            await workspace.jobs.close()
            await asyncio.to_thread(workspace.engine.close)
            workspace.bridge.detach()


def _services(settings: Settings, store: Store, safekeeping: Safekeeping | None) -> Workspace:
    bridge, events = Bridge(), EventStream(settings.event_history, first=time.time_ns() // 1_000_000)
    jobs, engine = Jobs(store, bridge, events), Engine(settings, bridge)
    history = History(engine)
    catalogue = Catalogue(starter_folder(settings), store.data_dir.models)
    token = HubToken(
        store.data_dir.path / "hub-token", settings.hub_token, system_keyring if settings.keyring else no_keyring
    )
    hub = Hub(settings, token)
    downloads = Downloads(settings, hub, store.data_dir.models, jobs)
    groups = Groups(store.library, catalogue, settings.default_pair, lambda: bridge.publish("library"))
    placements = Placements(store.library, engine)
    models = Models(settings, engine, catalogue, groups, bridge, placed=placements.chosen)
    runs = Runs(store, catalogue, bridge, kept_days=settings.deleted_runs_days)
    uploads = Uploads(settings, store)
    saes = Saes(store, engine, catalogue, models, jobs, bridge)
    lenses = Lenses(settings, store, engine, catalogue, models, jobs)
    datasets = Datasets(
        settings, store, engine, catalogue, models, jobs, bridge, DatasetHub(settings, token), downloads, uploads
    )
    activations = Activations(store, engine, catalogue, models, jobs, bridge)
    library = Library(settings, store, engine, catalogue, groups, models, hub, (datasets.purge, saes.purge))
    return Workspace(
        settings=settings,
        store=store,
        bridge=bridge,
        events=events,
        jobs=jobs,
        engine=engine,
        warm_up=WarmUp(engine, models, catalogue, preload=settings.preload),
        turnstile=Turnstile(),
        catalogue=catalogue,
        groups=groups,
        models=models,
        analyses=Analyses(settings, models, runs, jobs, lenses, bridge, events),
        generations=Generations(settings, models, jobs, bridge, events),
        runs=runs,
        loads=Loads(jobs, models, catalogue, groups, store.library, placements),
        placements=placements,
        library=library,
        sweeper=Sweeper({"bin of runs": runs.sweep, "uploads": uploads.sweep, "library": library.sweep}),
        uploads=uploads,
        run_uploads=RunUploads(runs, uploads, jobs),
        datasets=datasets,
        activations=activations,
        trainings=Trainings(store, engine, catalogue, models, jobs, activations, bridge, events),
        templates=Templates(store.library),
        saes=saes,
        lenses=lenses,
        sae_exchange=SaeExchange(saes, SaeHub(settings, token), downloads, jobs),
        hub_token=token,
        downloads=downloads,
        system=System(settings, store, engine, catalogue, history, jobs.latencies),
        backups=Backups(store, jobs, settings.backup_dir),
        history=history,
        logbook=Logbook(),
        safekeeping=safekeeping,
    )


def _tell(store: Store) -> None:
    started = store.started
    jobs = len(started.jobs.interrupted) + len(started.jobs.parked)
    if started.interrupted_runs or jobs or any(started.artefacts):
        counts = {"runs": len(started.interrupted_runs), "jobs": jobs, "orphans": len(started.artefacts.orphaned)}
        log.warning("tidied up after the last process", extra={"fields": counts})
