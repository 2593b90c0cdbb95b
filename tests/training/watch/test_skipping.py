import json

import pytest

from data_filters.errors import UserError
from hermes_train.training.watch.skipping import skipped_documents


def test_files_and_ids_add_up(tmp_path):
    file = tmp_path / "stopped_at_step_7.json"
    file.write_text(json.dumps({"step": 7, "loss": "nan", "grad_norm": None, "documents": ["a/1", "b/2#3"]}))

    assert skipped_documents([str(file), "c/3", "a/1"]) == {"a/1", "b/2#3", "c/3"}
    assert skipped_documents(str(file)) == {"a/1", "b/2#3"}
    assert skipped_documents(None) == frozenset()


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "which is not there"), ("{", "which is no JSON"), ('["a"]', 'no list "documents"')],
)
def test_a_file_that_is_none_of_ours_is_refused(tmp_path, content, told):
    file = tmp_path / "ids.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(UserError, match=told):
        skipped_documents(str(file))
