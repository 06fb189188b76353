"""Every module of tests runs on Windows, or is left out for a reason."""

from __future__ import annotations

import windows_selection


def test_every_module_is_selected_or_left_out_for_a_reason() -> None:
    assert windows_selection.undecided() == []


def test_the_tables_name_nothing_that_is_gone() -> None:
    assert windows_selection.outdated() == []


def test_what_is_left_out_of_a_selected_folder_is_not_run() -> None:
    assert "aiohttp" in windows_selection.SELECTED
    folder = windows_selection.TESTS / "aiohttp"
    assert windows_selection.is_left_out(folder / "test_aiohttp_runner.py")
    assert not windows_selection.is_left_out(folder / "test_aiohttp_connections.py")
