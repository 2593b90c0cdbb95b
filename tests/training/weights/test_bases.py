import json
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from data_filters.errors import UserError
from hermes_train.recipe.schema import ModelSection, RandomModel
from hermes_train.training.weights.bases import base_folder, random_llama
from hermes_train.training.weights.checkpoint_files import open_checkpoint

COMMIT = "0" * 40


class Hub(BaseHTTPRequestHandler):
    """Serves one repository as the Hub does: its list of files, and each file."""

    def __init__(self, files, asked, *arguments):
        self.files = files
        self.asked = asked
        super().__init__(*arguments)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        name = self.path.rpartition(f"/resolve/{COMMIT}/")[2]
        if self.path.startswith("/api/models/someone/small/tree/"):
            rows = [
                {"type": "file", "path": file, "size": len(held), "oid": COMMIT}
                for file, held in self.files.items()
            ]
            content = json.dumps(rows).encode()
        elif self.path.startswith("/api/models/someone/small/"):
            siblings = [{"rfilename": file} for file in self.files]
            content = json.dumps({"id": "someone/small", "sha": COMMIT, "siblings": siblings}).encode()
        elif name in self.files:
            content = self.files[name]
            self.asked.add(name)
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("ETag", f'"{abs(hash(content)):032x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Serves files as the repository someone/small; returns the set of names that are then asked for."""
    servers = []

    def serve(files):
        asked = set()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, files, asked))
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        return asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def files_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("shard_size", ["5GB", "60KB"])
def test_of_a_repository_only_what_is_needed_is_fetched(tmp_path, hub, shard_size):
    model, tokenizer = random_llama(RandomModel(), 0)
    model.save_pretrained(tmp_path / "model", max_shard_size=shard_size)
    tokenizer.save_pretrained(tmp_path / "model")
    needed = files_of(tmp_path / "model")
    others = (
        "consolidated.safetensors",
        "pytorch_model.bin",
        "original/params.json",
        "onnx/model.safetensors",
    )
    asked = hub(needed | dict.fromkeys(others, b"{}"))

    section = ModelSection(base="someone/small", template="llama3")
    with base_folder(section, 0, tmp_path / "scratch") as folder:
        assert files_of(folder) == needed
    assert asked == needed.keys()


def test_a_repository_of_pickled_weights_is_refused_and_they_are_not_fetched(tmp_path, hub):
    asked = hub({"config.json": b"{}", "pytorch_model.bin": b"", "pytorch_model.bin.index.json": b"{}"})

    section = ModelSection(base="someone/small", template="llama3")
    with (
        base_folder(section, 0, tmp_path / "scratch") as folder,
        pytest.raises(UserError, match="convert them"),
    ):
        open_checkpoint(folder)
    assert asked == {"config.json", "pytorch_model.bin.index.json"}


def test_a_repository_that_does_not_exist_is_told_in_one_line(tmp_path, hub):
    hub({})
    section = ModelSection(base="someone/else", template="llama3")

    with (
        pytest.raises(UserError, match=r"cannot fetch model\.base someone/else \(revision main\): "),
        base_folder(section, 0, tmp_path / "scratch"),
    ):
        pass


def test_a_folder_written_for_a_base_of_random_weights_is_removed_whatever_happens(tmp_path):
    section = ModelSection(random=RandomModel(), template="llama3")

    with pytest.raises(KeyError), base_folder(section, 0, tmp_path / "scratch") as folder:
        assert (folder / "model.safetensors").is_file()
        raise KeyError
    assert not any(tmp_path.iterdir())
