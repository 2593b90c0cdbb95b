"""How long ranks wait for each other; that lost hosts are told by it is shown with real ones in tests/cluster."""

from datetime import timedelta

import pytest
from torch.distributed import distributed_c10d

from data_filters.errors import UserError
from hermes_train.training.timeouts import collective_timeout, limit_collectives


@pytest.mark.parametrize(("text", "seconds"), [(None, 1800), ("", 1800), ("0.2", 12), ("45", 2700)])
def test_the_site_says_how_long_in_minutes_or_fractions_of_them(monkeypatch, text, seconds):
    monkeypatch.delenv("HERMES_TIMEOUT_MINUTES", raising=False)
    if text is not None:
        monkeypatch.setenv("HERMES_TIMEOUT_MINUTES", text)

    assert collective_timeout() == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["half an hour", "0", "-1", "nan", "inf"])
def test_other_text_is_refused(monkeypatch, text):
    monkeypatch.setenv("HERMES_TIMEOUT_MINUTES", text)

    with pytest.raises(UserError, match=r"HERMES_TIMEOUT_MINUTES is .* a number above 0"):
        collective_timeout()


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_groups_that_are_made_without_a_timeout_get_it(monkeypatch, backend):
    for name in ("default_pg_timeout", "default_pg_nccl_timeout"):
        monkeypatch.setattr(distributed_c10d, name, timedelta(minutes=10))

    limit_collectives(timedelta(minutes=45))

    assert distributed_c10d._get_default_timeout(backend) == timedelta(minutes=45)
