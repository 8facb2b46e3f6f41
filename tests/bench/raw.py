"""The raw limit: ONNX Runtime fp32 in a process of its own, texts sorted by length, tokenisation included, 2 threads.

``python tests/bench/raw.py FOLDER TEXTS.json MAX_TOKENS SECONDS`` prints one JSON line.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

BUDGET_TOKENS = 256
"""Padded tokens of a batch: the best of 128–1024 on most machines."""


def main() -> None:
    folder, texts_file, max_tokens, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    texts = json.loads(texts_file.read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)

    def run(batch: list[list[int]]) -> int:
        width = max(map(len, batch))
        ids = np.zeros((len(batch), width), np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(batch):
            ids[row, : len(one)] = one
            mask[row, : len(one)] = 1
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        session.run(None, {name: arrays[name] for name in names})
        return len(batch)

    run([[2, 3, 4]])
    done = 0
    with ThreadPoolExecutor(2) as pool:
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        while time.perf_counter() - started < seconds:
            part = [texts[(done + index) % len(texts)] for index in range(500)]
            rows = sorted((one.ids for one in tokenizer.encode_batch(part)), key=len)
            batches: list[list[list[int]]] = [[]]
            for row in rows:
                if batches[-1] and (len(batches[-1]) + 1) * len(row) > BUDGET_TOKENS:
                    batches.append([])
                batches[-1].append(row)
            done += sum(pool.map(run, batches))
        wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"texts": done, "wall_s": wall, "cpu_s": cpu}))


if __name__ == "__main__":
    main()
