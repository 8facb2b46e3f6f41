"""Fine-tunes a text classifier: LoRA on a frozen encoder, a new head, best state by the tuning split."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from peft.utils.save_and_load import get_peft_model_state_dict, set_peft_model_state_dict
from tokenizers import Tokenizer
from torch import nn

from parlance.models.sources.base import SourceModel
from parlance.training.calibrate import softmax
from parlance.training.data import Example, batches, encode, pad
from parlance.training.evaluate import score
from parlance.training.network import Classifier, Head, Pooling, load_encoder
from parlance.training.recipe import Recipe

__all__ = ["Log", "Trained", "predict", "train"]

Log = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained network: the adapter under peft's names, the head under ``dense.*`` and ``out.*``."""

    network: Classifier
    adapter: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]
    steps: int
    seconds: float
    tuning_logits: NDArray[np.float32]
    history: list[dict[str, object]] = field(default_factory=list)


def train(
    recipe: Recipe, base: SourceModel, training: Sequence[Example], tuning: Sequence[Example], *,
    pooling: Pooling, log: Log,
) -> Trained:  # fmt: skip
    """Trains as the recipe says; the same recipe, data and thread count give the same result."""
    options = recipe.optimiser
    torch.manual_seed(options.seed)
    tokenizer = Tokenizer.from_file(str(base.tokenizer))
    network = _network(recipe, base, pooling)
    rows = encode(tokenizer, [e.text for e in training], prefix=recipe.model.prefix, max_tokens=recipe.model.max_tokens)
    repeats = {data.name: data.repeat for data in recipe.train}
    order = [at for at, example in enumerate(training) for _ in range(repeats[example.source])]
    lengths = [len(rows[at]) for at in order]
    per_epoch = math.ceil(len(order) / options.batch_size)
    total = min(math.ceil(per_epoch * options.epochs), options.max_steps or 10**9)
    optimiser, schedule = _optimiser(recipe, network, total)
    pad_id = int(base.config.get("pad_token_id") or 0)
    history: list[dict[str, object]] = []
    best, best_state, best_logits = -1.0, _state(network), np.zeros((0, 0), dtype=np.float32)
    started = time.monotonic()
    step, epoch, running = 0, 0, 0.0
    network.train()
    while step < total:
        for batch in batches(lengths, options.batch_size, seed=options.seed + epoch):
            chosen = [order[at] for at in batch]
            loss = _loss(recipe, network, [rows[at] for at in chosen], [training[at].label for at in chosen], pad_id)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
            nn.utils.clip_grad_norm_([p for p in network.parameters() if p.requires_grad], 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
            step += 1
            running += float(loss.detach())
            if step % 25 == 0:
                log({"step": step, "of": total, "loss": round(running / 25, 4), "s": round(time.monotonic() - started)})
                running = 0.0
            if step % options.evaluate_every == 0 or step == total:
                logits = predict(network, tokenizer, [e.text for e in tuning], recipe=recipe, pad_id=pad_id)
                entry = _tuning_score(recipe, logits, tuning) | {"step": step}
                history.append(entry)
                log(entry)
                if float(str(entry["mean_macro_f1"])) > best:
                    best, best_state, best_logits = float(str(entry["mean_macro_f1"])), _state(network), logits
                network.train()
            if step == total:
                break
        epoch += 1
    set_peft_model_state_dict(network.encoder, best_state[0])
    network.head.load_state_dict(best_state[1])
    network.eval()
    return Trained(
        network=network, adapter=best_state[0], head=best_state[1], steps=step, seconds=time.monotonic() - started,
        tuning_logits=best_logits, history=history,
    )  # fmt: skip


@torch.no_grad()
def predict(
    network: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], *, recipe: Recipe, pad_id: int
) -> NDArray[np.float32]:
    """Logits ``(texts, labels)`` in the order of the texts."""
    network.eval()
    rows = encode(tokenizer, texts, prefix=recipe.model.prefix, max_tokens=recipe.model.max_tokens)
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
    logits = np.zeros((len(rows), len(recipe.model.labels)), dtype=np.float32)
    for start in range(0, len(order), 64):
        part = order[start : start + 64]
        ids, mask = pad([rows[at] for at in part], pad_id)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.optimiser.precision == "bf16"):
            logits[part] = network(torch.from_numpy(ids), torch.from_numpy(mask)).float().numpy()
    return logits


def _network(recipe: Recipe, base: SourceModel, pooling: Pooling) -> Classifier:
    encoder = load_encoder(base.config, base.tensors)
    layers = int(base.config["num_hidden_layers"])
    top = min(recipe.adapter.top_layers or layers, layers)
    adapter = LoraConfig(
        r=recipe.adapter.rank, lora_alpha=recipe.adapter.alpha, lora_dropout=recipe.adapter.dropout,
        target_modules=list(recipe.adapter.targets), bias="none",
        layers_to_transform=list(range(layers - top, layers)), layers_pattern="layer",
    )  # fmt: skip
    head = Head(int(base.config["hidden_size"]), len(recipe.model.labels), recipe.model.head_dropout)
    return Classifier(get_peft_model(encoder, adapter), head, pooling)


def _optimiser(
    recipe: Recipe, network: nn.Module, total: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    options = recipe.optimiser
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=options.weight_decay)
    warm = max(1, round(total * options.warmup))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _loss(recipe: Recipe, network: nn.Module, rows: list[list[int]], labels: list[int], pad_id: int) -> torch.Tensor:
    ids, mask = pad(rows, pad_id)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.optimiser.precision == "bf16"):
        logits = network(torch.from_numpy(ids), torch.from_numpy(mask))
    return nn.functional.cross_entropy(
        logits.float(), torch.tensor(labels), label_smoothing=recipe.optimiser.label_smoothing
    )


def _state(network: Classifier) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    adapter = {name: tensor.detach().clone() for name, tensor in get_peft_model_state_dict(network.encoder).items()}
    return adapter, {name: tensor.detach().clone() for name, tensor in network.head.state_dict().items()}


def _tuning_score(recipe: Recipe, logits: NDArray[np.float32], tuning: Sequence[Example]) -> dict[str, object]:
    """Macro-F1 of every data set's tuning part, and their plain mean: the figure that chooses."""
    gold = np.array([example.label for example in tuning])
    sources = np.array([example.source for example in tuning])
    probabilities = softmax(logits)
    found: dict[str, float] = {}
    for name in dict.fromkeys(example.source for example in tuning):
        inside = sources == name
        found[name] = score(probabilities[inside], gold[inside], recipe.model.labels).macro_f1
    return {"tuning_macro_f1": found, "mean_macro_f1": round(float(np.mean(list(found.values()))), 4)}
