import pytest

from .families.catalogue import OURS
from .families.makers import maker_of


@pytest.fixture(params=OURS, ids=lambda family: family.name)
def family(request):
    """Each of our two templates."""
    return request.param


@pytest.fixture
def maker(family):
    """Its maker of documents, with a byte-level tokenizer."""
    return maker_of(family)
