"""What the tests share, tests/shared.py, where tests are run: the process that hands them out needs no TensorFlow."""

import gc
import os

import pytest

LONGEST = "test_workers test_notebooks test_search benchmarks/test_kills test_examples test_train".split()

gc.set_threshold(100_000, 50, 100)  # searched as usual for garbage, up to a third of the time goes there
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")


@pytest.hookimpl(trylast=True)  # after xdist's own
def pytest_configure(config):
    if not config.pluginmanager.has_plugin("dsession"):  # xdist's, which hands the tests to other processes
        config.pluginmanager.import_plugin("tests.shared")


def pytest_collection_modifyitems(items):
    """The files with the longest tests first: at the end one process would wait for another's."""
    order = {f"tests/{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))
