"""The store that the settings name."""

from __future__ import annotations

from authsrv.service.config.settings import Settings, StoreKind
from authsrv.stores.base import Store
from authsrv.stores.machine import MachineStore, machine_store
from authsrv.stores.memory import MemoryStore

__all__ = ["make_store"]


def make_store(settings: Settings) -> Store:
    """Make it; one of a machine is opened when it is first used."""
    if settings.store_kind is StoreKind.MEMORY:
        return MemoryStore()
    if settings.store_path is None:
        return machine_store()
    return MachineStore(settings.store_path)
