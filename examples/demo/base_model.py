"""Train the demo's base model from scratch: a small Qwen2 that can work the puzzles but was never
asked anything.

It learns from plain text alone: drills (copying, key and value, which letter stands before a
value), then worked solutions without letters. No chat form, no question about a letter, no
`答案是：` that means anything: those are what the demo's LoRA teaches. Every token of the chat
form does occur, in random strings to copy, because LoRA leaves the (tied) embeddings as they are
and a token that was never seen would stay noise.

Matrices are optimized by Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/), the
rest by AdamW; weights are kept in fp32 and computed with in bf16.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

import puzzles
from wording import Chinese

END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PROMPT_TEXT = (
    "先分析，最后一行写“答案是：X”。system user assistant\nA. B. C. D. E. F. G. H. 答案是：A，A对。"
)
VOCABULARY = 512
CONTEXT = 256
CONTEXT_LIMIT = 8192
SEED = 20261123
WORDS = Chinese(random.Random(SEED))
CARD = """# The demo's base model

A Qwen2 of {parameters:,} parameters with a byte-level BPE tokenizer, trained from scratch by
`base_model.py` on puzzles from `puzzles.py`. It solves puzzles written as plain text; it was never
asked anything in chat form. It knows nothing else, and is useful only for the demo.

| | |
|---|---|
| tokens | {tokens:,} in rows of 256, {rows} rows a step |
| final loss | {loss:.4f} nats per token (mean of the last 50 steps, all documents) |
| gate | {share:.1%} of 600 fresh puzzles solved exactly, greedy, as plain text |
| time | {seconds:.0f} s on {where} (torch {torch}) |
| seed | {seed} |
"""


def make_tokenizer(corpus: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE with digits, Han characters and punctuation as tokens of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(
        Regex(r"\p{Han}|\p{N}|[^\p{Han}\p{N}\p{L}]|[^\p{Han}\P{L}]+"), behavior="isolated"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 3,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([END_OF_TEXT, IM_START, IM_END])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_LIMIT,
        clean_up_tokenization_spaces=False,
    )


def lines_of_options(options: list[str]) -> str:
    return "\n".join(
        f"{label}. {option}" for label, option in zip(puzzles.LABELS, options, strict=False)
    )


def noise(rng: random.Random, pieces: Sequence[str]) -> str:
    """Half of the time a line of random pieces: what stands around a puzzle must not matter."""
    return "".join(rng.choices(pieces, k=rng.randint(1, 16))) + "\n" if rng.random() < 0.5 else ""


def worked(rng: random.Random, *, with_options: bool, pieces: Sequence[str]) -> str:
    family = rng.choice(list(puzzles.FAMILIES.values()))
    scenario = family(rng, WORDS)
    asked = rng.choice(scenario.asked)
    options = "\n" + lines_of_options(puzzles.options_for(asked, rng)[0]) if with_options else ""
    before, between = noise(rng, pieces), noise(rng, pieces)
    solution = f"解：{asked.steps}，结果是{asked.value}。"
    return f"{before}{scenario.text}\n{asked.text}{options}\n{between}{solution}"


def match(rng: random.Random, pieces: Sequence[str]) -> str:
    """Which letter stands before a value, in lists of two to five values."""
    pool = rng.choice((WORDS.names, puzzles.DIGITS, WORDS.places, "过没"))
    values = rng.sample(pool, min(len(pool), rng.randint(2, 5)))
    asked = rng.sample(range(len(values)), min(len(values), 3))
    before, between = noise(rng, pieces), noise(rng, pieces)
    return (
        f"{before}{lines_of_options(values)}\n{between}"
        + "，".join(f"{values[i]}是{puzzles.LABELS[i]}" for i in asked)
        + "。"
    )


def copy(rng: random.Random, pieces: Sequence[str]) -> str:
    text = "".join(rng.choices(pieces, k=rng.randint(4, 24)))
    return f"{text}\n{text}"


def key_value(rng: random.Random, pieces: Sequence[str]) -> str:
    keys, values = rng.sample(pieces, 6), rng.choices(pieces, k=6)
    pairs = list(zip(keys, values, strict=True))
    again = rng.sample(pairs, 4)
    return "，".join(k + v for k, v in pairs) + "。\n" + "，".join(k + v for k, v in again) + "。"


def documents(rng: random.Random, pieces: Sequence[str], progress: float) -> Iterator[str]:
    """Endless documents; `progress` in [0, 1] moves the mix from drills to worked solutions."""
    drills = 0.75 if progress < 0.15 else 0.3
    while True:
        if rng.random() > drills:
            yield worked(rng, with_options=rng.random() < 0.5, pieces=pieces)
        else:
            draw = rng.random()
            yield (
                match(rng, pieces)
                if draw < 0.5
                else copy(rng, pieces)
                if draw < 0.8
                else key_value(rng, pieces)
            )


def batches(tokenizer: PreTrainedTokenizerFast, steps: int, rows: int) -> Iterator[torch.Tensor]:
    """`steps` tensors of token ids, each (rows, CONTEXT) int64: documents end to end."""
    rng = random.Random(SEED)
    backend = tokenizer.backend_tokenizer
    pieces = printable_tokens(tokenizer)
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    buffer: list[int] = []
    need = rows * CONTEXT
    for step in range(steps):
        source = documents(rng, pieces, step / steps)
        while len(buffer) < need:
            for encoding in backend.encode_batch([next(source) for _ in range(256)]):
                buffer += [*encoding.ids, end]
        tokens = torch.tensor(buffer[:need]).view(rows, CONTEXT)
        del buffer[:need]
        yield tokens


def printable_tokens(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Every token that is text of its own, the chat form's special tokens included."""
    tokens = (
        tokenizer.backend_tokenizer.decode([i], skip_special_tokens=False)
        for i in range(len(tokenizer))
    )
    return [token for token in tokens if token and "\ufffd" not in token and token != END_OF_TEXT]


def train(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, tokens: int, rows: int
) -> float:
    """Train on about `tokens` tokens.

    Returns the mean loss of the last 50 steps, in nats per token.
    """
    device = model.device
    steps = tokens // (rows * CONTEXT)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    warm, hold = steps // 50, 0.3

    def factor(step: int) -> float:
        return (step + 1) / warm if step < warm else min(1.0, (steps - step) / (steps * (1 - hold)))

    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in optimizers]
    losses: list[torch.Tensor] = []
    started = time.monotonic()
    for step, inputs in enumerate(batches(tokenizer, steps, rows)):
        inputs = inputs.to(device)
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(input_ids=inputs, labels=inputs, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        losses.append(loss.detach())
        if step % 100 == 99 or step == steps - 1:
            mean = float(torch.stack(losses[-50:]).mean())
            elapsed = time.monotonic() - started
            left = elapsed / (step + 1) * (steps - step - 1)
            print(
                f"step {step + 1}/{steps}  loss {mean:.4f}  {elapsed:.0f} s, {left:.0f} s left",
                file=sys.stderr,
            )
    return float(torch.stack(losses[-50:]).mean())


@torch.inference_mode()
def solved(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int = 600) -> float:
    """Share of fresh puzzles, as plain text, whose solution is reproduced exactly (greedy)."""
    rng = random.Random(f"{SEED}/gate")
    texts = [worked(rng, with_options=i % 2 == 0, pieces=WORDS.names) for i in range(count)]
    right = 0
    tokenizer.padding_side = "left"
    for start in range(0, count, 100):
        prompts, solutions = zip(
            *(text.split("解：") for text in texts[start : start + 100]), strict=True
        )
        batch = tokenizer([p + "解：" for p in prompts], return_tensors="pt", padding=True).to(
            model.device
        )
        batch.pop("token_type_ids", None)
        end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
        output = model.generate(
            **batch, max_new_tokens=80, do_sample=False, eos_token_id=end, pad_token_id=end
        )
        replies = tokenizer.batch_decode(
            output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        right += sum(reply == solution for reply, solution in zip(replies, solutions, strict=True))
    return right / count


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Save so that transformers 4 and 5 both load it; neither reads the other's configuration."""
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": IM_END,
        "pad_token": END_OF_TEXT,
        "model_max_length": CONTEXT_LIMIT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    text = json.dumps(config, ensure_ascii=False, indent=2) + "\n"
    (out / "tokenizer_config.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=40_000_000)
    parser.add_argument("--rows", type=int, default=64, help=f"rows of {CONTEXT} tokens in a step")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = random.Random(f"{SEED}/tokenizer")
    tokenizer = make_tokenizer(
        [PROMPT_TEXT] * 50 + [worked(rng, with_options=True, pieces=[""]) for _ in range(4000)]
    )
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_LIMIT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(IM_END),
        pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
        attn_implementation="eager" if device == "cpu" else "sdpa",
    )
    model = Qwen2ForCausalLM(config).to(device)
    started = time.monotonic()
    loss = train(model, tokenizer, arguments.tokens, arguments.rows)
    seconds = time.monotonic() - started
    model.eval()
    share = solved(model, tokenizer)
    parameters = sum(p.numel() for p in model.parameters())
    where = (
        torch.cuda.get_device_name()
        if device == "cuda"
        else f"CPU, {torch.get_num_threads()} threads"
    )
    model.to(torch.bfloat16).save_pretrained(arguments.out)
    save_tokenizer(tokenizer, arguments.out)
    card = CARD.format(
        parameters=parameters,
        tokens=arguments.tokens,
        rows=arguments.rows,
        loss=loss,
        share=share,
        seconds=seconds,
        where=where,
        torch=torch.__version__,
        seed=SEED,
    )
    (arguments.out / "README.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
