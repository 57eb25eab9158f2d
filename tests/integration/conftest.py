import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures once for all folders that need them: one server runs for a whole run."""
    config.pluginmanager.import_plugin("tests.fixtures")
