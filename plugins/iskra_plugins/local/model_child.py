"""Runs one model. A program of its own, started by ``model_process.py``; it knows nothing of the server.

It reads JSON lines from its input: first the order to load a model, then requests and their cancellations,
``{"id", "generate": {…}}`` and ``{"cancel": id}``. It answers with JSON lines: ``{"ready": {…}}``, then per request
``{"id", "chunk": {…}}`` and at last one ``{"id", "done": {…}}`` or ``{"id", "error", "kind"}``. When its input ends,
because the server is gone, it ends at once.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import llama_cpp


class CountingModel(llama_cpp.Llama):  # type: ignore[misc]  # an optional package without types
    """A model that counts its tokens and can be told to stop."""

    prompt_tokens = 0
    completion_tokens = 0
    cancelled: threading.Event

    def watch(self, cancelled: threading.Event) -> None:
        """Stop at the next token, or within the reading of a long prompt, once ``cancelled`` is set."""
        self.cancelled = cancelled
        # Kept, because the library does not: a collected callback would be called as garbage.
        self._abort = llama_cpp.llama_cpp.ggml_abort_callback(lambda _data: cancelled.is_set())
        llama_cpp.llama_set_abort_callback(self.ctx, self._abort, None)

    def generate(self, tokens: Sequence[int], *args: Any, **options: Any) -> Iterator[int]:
        """Yield tokens until the answer is complete or cancelled."""
        self.prompt_tokens, self.completion_tokens = len(tokens), 0
        for token in super().generate(tokens, *args, **options):
            if self.cancelled.is_set():
                return
            if not llama_cpp.llama_vocab_is_eog(self._model.vocab, token):
                self.completion_tokens += 1
            yield token


class Child:
    """Loads a model and answers requests, one after the other."""

    def __init__(self, orders: BinaryIO, answers: BinaryIO) -> None:
        self._orders = orders
        self._answers = answers
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._current = -1
        self._latest_cancelled = -1
        self._lock = threading.Lock()

    def run(self) -> None:
        """Work until the input ends."""
        order = json.loads(self._orders.readline())
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            model = self._load(order)
        except Exception as exc:
            self._answer({"error": f"{type(exc).__name__}: {exc}", "kind": "load"})
            return
        self._answer({"ready": {"context": model.n_ctx(), "chat_format": model.chat_format}})
        while True:
            request = self._requests.get()
            with self._lock:
                self._current = request["id"]
                if self._current > self._latest_cancelled:
                    self._cancelled.clear()
            try:
                self._generate(model, request["id"], request["generate"])
            except Exception as exc:
                # The library checks parameters by using them, so a wrong one shows as nearly any error.
                kind = "failed" if isinstance(exc, RuntimeError | MemoryError | OSError) else "rejected"
                kind = "cancelled" if self._cancelled.is_set() else kind
                self._answer({"id": request["id"], "error": f"{type(exc).__name__}: {exc}", "kind": kind})

    def _listen(self) -> None:
        for line in self._orders:
            order = json.loads(line)
            if "generate" in order:
                self._requests.put(order)
                continue
            with self._lock:
                self._latest_cancelled = order["cancel"]
                if order["cancel"] >= self._current:
                    self._cancelled.set()  # it may not have begun yet
        os._exit(0)  # the server is gone; there is nothing to tidy up

    def _load(self, order: dict[str, Any]) -> CountingModel:
        model = CountingModel(
            order["path"],
            n_ctx=order["context"],
            n_threads=order["threads"] or None,
            n_gpu_layers=order["gpu_layers"],
            chat_format=order["chat_format"] or None,
            verbose=False,
        )
        if not order["chat_format"] and "tokenizer.chat_template" not in model.metadata:
            raise ValueError("the file has no chat template; set chat_format")
        model.watch(self._cancelled)
        return model

    def _generate(self, model: CountingModel, number: int, arguments: dict[str, Any]) -> None:
        for chunk in model.create_chat_completion(**arguments, stream=True):
            self._answer({"id": number, "chunk": chunk["choices"][0]})
        usage = {"prompt_tokens": model.prompt_tokens, "completion_tokens": model.completion_tokens}
        self._answer({"id": number, "done": usage})

    def _answer(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Keep the output for answers: what native code prints goes to the log."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    Child(sys.stdin.buffer, answers).run()


if __name__ == "__main__":
    main()
