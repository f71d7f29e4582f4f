"""Programs that the tests start get Ctrl-C, also where the tests run in the background of a shell,
which has its children ignore it."""

import pathlib
import signal
import tempfile

import pytest

signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def runtime_folder():
    """For XDG_RUNTIME_DIR: the path of a socket in it has to be short, which tmp_path need not be."""
    with tempfile.TemporaryDirectory(prefix="rm-") as folder:
        yield pathlib.Path(folder)


def pytest_configure(config):
    config.addinivalue_line("markers", "contract(row): a row of the contract of 0.1")
