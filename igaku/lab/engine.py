"""The process that serves one model folder: `python -m igaku.lab.engine`.

It runs mlx_lm's or llama.cpp's own HTTP server and adds three things: it ends with the
process that started it, it reaches no network, and it answers to one model name only.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from igaku.lab.recipes import MLX

CONTEXT = 8192  # tokens for each request in flight
SLOTS = 8


def main() -> None:
    """Serve a folder by an engine, as `serve.serving` asks."""
    engine, folder, name, host, port, parent = sys.argv[1:]
    threading.Thread(target=_end_with, args=[int(parent)], daemon=True).start()
    run = run_mlx if engine == MLX else run_llama_cpp
    run(Path(folder), name, host, int(port))


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, however that came about.

    Linux could send a signal instead, but at the end of the parent's thread, which in
    a notebook or a pool is not the end of the parent.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def run_mlx(folder: Path, name: str, host: str, port: int) -> None:
    """mlx_lm.server on an MLX folder, known as `name`."""
    # transformers would load torch where it is installed, for three seconds and for
    # nothing: only the tokenizer is wanted.
    sys.modules["torch"] = None  # type: ignore[assignment]
    server: Any = import_module("mlx_lm.server")

    class Provider(server.ModelProvider):
        """Knows one model. mlx_lm echoes any name, after trying to download it."""

        def load(self, model: str, *_: Any) -> Any:
            if model not in (name, "default_model"):
                raise ValueError(
                    f"model {model!r} is not served here: ask for {name!r}"
                )
            return super().load("default_model", None, "default_model")

    def list_models(handler: Any) -> None:
        card = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        about = {"id": name, "object": "model", "created": handler.created}
        kept = ("recipe", "layout", "parameters", "size_bytes", "bits_per_weight")
        about["meta"] = {key: card[key] for key in kept}
        handler._set_completion_headers(200)
        handler.end_headers()
        handler.wfile.write(json.dumps({"object": "list", "data": [about]}).encode())

    server.ModelProvider = Provider
    server.APIHandler.handle_models_request = list_models
    sys.argv = ["mlx_lm.server", "--model", str(folder), "--host", host]
    sys.argv += ["--port", str(port), "--log-level", "WARNING"]
    sys.argv += ["--decode-concurrency", str(SLOTS), "--prompt-concurrency", str(SLOTS)]
    server.main()


def run_llama_cpp(folder: Path, name: str, host: str, port: int) -> None:
    """llama.cpp's server on a GGUF, known as `name`."""
    import xllamacpp

    from igaku.lab.gguf_file import FILE_NAME

    params = xllamacpp.CommonParams()
    model = folder / FILE_NAME
    params.model.path = str(model)
    params.model_alias = {name}
    params.hostnames, params.port = [host], port
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT
    # Threads of a small model would mostly wait for each other.
    threads = 1 if model.stat().st_size < 64 * 2**20 else os.cpu_count() or 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 256
    params.fit_params, params.ui, params.warmup = False, False, False
    server = xllamacpp.Server(params)  # must stay referenced: it stops when freed
    print(f"serving at {server.listening_address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
