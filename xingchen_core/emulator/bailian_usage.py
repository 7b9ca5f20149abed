"""What a completion has cost, and how probable it was, as the native protocol says it."""

from collections.abc import Sequence
from typing import Any

from xingchen_core.emulator.bailian_brain import MEDIA_TOKENS, Completion
from xingchen_core.emulator.bailian_script import AS_USUAL


def logprobs(completion: Completion, pieces: Sequence[str]) -> dict[str, Any]:
    """Invented probabilities of each piece."""
    most = completion.prompt.parameters.get("top_logprobs") or 0

    def token(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "bytes": list(text.encode()), "logprob": logprob}

    return {
        "content": [
            {**token(piece, -0.25), "top_logprobs": [token(piece, -0.25 - rank) for rank in range(most)]}
            for piece in pieces
        ]
    }


def usage_of(completion: Completion, output_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
    """Native `usage` when so much has been written."""
    script = completion.script
    if script.usage is not AS_USUAL:
        given: dict[str, Any] = script.usage
        return given
    media, prompt = completion.media_tokens, completion.prompt
    spent: dict[str, Any] = {
        "total_tokens": completion.input_tokens + output_tokens + reasoning_tokens,
        "output_tokens": output_tokens + reasoning_tokens,
        "input_tokens": completion.input_tokens,
        "prompt_tokens_details": {"cached_tokens": completion.cached_tokens},
    }
    if reasoning_tokens:
        details = {"reasoning_tokens": reasoning_tokens, "text_tokens": output_tokens}
        spent["output_tokens_details"] = details
    if media:
        counts = {f"{kind}_tokens": MEDIA_TOKENS * count for kind, count in prompt.media.items()}
        spent["input_tokens_details"] = {"text_tokens": completion.input_tokens - media, **counts}
        spent.update(counts)
    if completion.created_tokens:
        home = spent if completion.cache_beside_details else spent["prompt_tokens_details"]
        home |= {
            "cache_creation": {"ephemeral_5m_input_tokens": completion.created_tokens},
            "cache_creation_input_tokens": completion.created_tokens,
            "cache_type": "ephemeral",
        }
    if completion.search_results is not None:
        strategy = (prompt.parameters.get("search_options") or {}).get("search_strategy", "turbo")
        spent["plugins"] = {"search": {"count": 1, "strategy": strategy}}
    return spent
