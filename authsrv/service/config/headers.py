"""From the tables of the configuration to the fields that an application is told."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from authsrv.service.config.model import FieldTable, HeadersTable
from authsrv.service.config.problems import Findings
from authsrv.service.sites.header_text import Encoding
from authsrv.service.sites.headers import PRESETS, Attribute, HeaderField, HeaderMap
from authsrv.service.sites.people import NameList

__all__ = ["build_headers"]


def build_headers(
    table: HeadersTable | None, known: NameList, findings: Findings, key: str
) -> HeaderMap | None:
    """Make the map of a site; "authelia" where there is none. None where it has errors."""
    table = table or HeadersTable(preset="authelia")
    fields = {each.name: each for each in _preset_fields(table, findings, key)}
    is_good = True
    for name, entry in (table.fields or {}).items():
        field = _field(name, entry, table, findings, f"{key}.fields.{name}")
        if field is None:
            is_good = False
        else:
            fields[name] = field
    if not fields:
        findings.warn(key, "the application is told nothing of the client", "add a preset")
    limits: dict[str, Any] = {
        name: value
        for name in ("group_bytes", "total_bytes")
        if (value := getattr(table, name)) is not None
    }
    make = partial(HeaderMap, tuple(fields.values()), known_names=known, **limits)
    return findings.attempt(key, make) if is_good else None


def _preset_fields(table: HeadersTable, findings: Findings, key: str) -> tuple[HeaderField, ...]:
    if table.preset is None:
        return ()
    changed: dict[str, Any] = {}
    if table.encoding is not None:
        changed["encoding"] = Encoding(table.encoding)
    if table.joiner is not None:
        changed["joiner"] = table.joiner
    made = findings.attempt(
        f"{key}.joiner",
        lambda: tuple(replace(each, **changed) for each in PRESETS[table.preset or ""]),
    )
    return made or ()


def _field(
    name: str, entry: FieldTable, table: HeadersTable, findings: Findings, key: str
) -> HeaderField | None:
    if entry.attribute is None:
        findings.error(key, "it has no attribute", f'write {name} = "principal"')
        return None
    attribute = Attribute(entry.attribute)
    encoding = Encoding(entry.encoding or table.encoding or "utf-8")
    joiner = entry.joiner or table.joiner or ","
    return findings.attempt(key, lambda: HeaderField(name, attribute, encoding, joiner))
