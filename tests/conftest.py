"""What every test shares: reproducible hypothesis, one thread, fixed seeds, and which tests a missing data set cost."""

from __future__ import annotations

import collections
import os
import re

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "default", derandomize=True, deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("search", parent=hypothesis.settings.get_profile("default"), derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

DATA_SET = re.compile(r"data set '?([a-z0-9-]+)'?")


@pytest.fixture(autouse=True)
def _one_thread_and_fixed_seed():
    """Tests that touch torch do so on one thread and from the same seed, whatever ran before them."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
        torch.manual_seed(0)


@pytest.fixture
def load_dataset():
    """``load_dataset("mnist")``: the data set where it is on this machine, else the test is skipped by name.

    Nothing is downloaded in a test.
    """
    from onebit import data

    def load(name: str):
        try:
            return data.load(name, download=False)
        except (FileNotFoundError, OSError) as error:
            pytest.skip(f"data set {name}: {error}")

    return load


def pytest_terminal_summary(terminalreporter) -> None:
    """Names each missing data set once, with the tests that were skipped for it."""
    missing: dict[str, list[str]] = collections.defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found = DATA_SET.search(reason)
        if found:
            missing[found.group(1)].append(report.nodeid)
    for name, tests in sorted(missing.items()):
        terminalreporter.write_line(
            f"Skipped because the data set {name} is not on this machine: {', '.join(sorted(tests))}"
        )
