"""A contract for tests."""

from contract import Contract, Lengths, Probe, PromptFormat, Provenance, Sampling


def make_contract(digest: str = "d", *, longest_prompt: int = 100) -> Contract:
    """The contract of a model `m`. Its probe is one message, whose tokens are 1 and 2."""
    return Contract(
        model="m",
        digest=digest,
        dtype="bfloat16",
        format=PromptFormat(),
        sampling=Sampling(max_tokens=512),
        chat_template_sha256="",
        probe=Probe(messages=({"role": "user", "content": "?"},), token_ids=(1, 2)),
        lengths=Lengths(longest_prompt=longest_prompt, longest_reply=50, limit=2048),
        provenance=Provenance(
            base_model="b",
            base_sha256="",
            data_sha256="",
            recipe="r",
            recipe_sha256="",
            adapter_sha256="",
            versions={},
            created="",
        ),
    )
