import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Once for all folders that need it: a server is started for the whole of a run."""
    config.pluginmanager.import_plugin("tests.fixtures")
