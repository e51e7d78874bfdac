"""How many tokens a model reads for a chat, its template included."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Chat

CountTokens = Callable[[Sequence[Chat]], list[int]]


def token_counter(model: str) -> CountTokens:
    """Counts prompt tokens as ``model`` (a Hugging Face id or folder) gets them, generation prompt included.

    Raises:
        InputError: the tokenizer cannot be loaded, or has no chat template.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        mend = "Give a Hugging Face id, or a folder that holds a tokenizer."
        raise InputError(f"no tokenizer for {model!r} ({first_line})", mend=mend) from error
    if not tokenizer.chat_template:
        raise InputError(f"the tokenizer of {model!r} has no chat template", mend="Give an instruct model.")

    def count(chats: Sequence[Chat]) -> list[int]:
        texts = tokenizer.apply_chat_template(list(chats), tokenize=False, add_generation_prompt=True)
        return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]

    return count
