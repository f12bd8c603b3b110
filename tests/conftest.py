"""What the tests share, tests/shared.py, where tests are run: the process that hands them out needs no TensorFlow."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


@pytest.hookimpl(trylast=True)  # after xdist's own
def pytest_configure(config):
    if not config.pluginmanager.has_plugin("dsession"):  # xdist's, which hands the tests to other processes
        config.pluginmanager.import_plugin("tests.shared")
