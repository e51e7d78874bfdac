"""Any OpenAI-compatible server as a generator: vLLM, SGLang, Ollama, llama.cpp, OpenAI, Azure deployments.

A call is tried again where its failure is of this call alone: rate limits, server errors, time-outs, cut or
broken replies. It is given up where the server has answered and will not write (refusal, filter). What
would meet every call (key, model, address) stops the run with what has come so far already kept.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.endpoint import Endpoint, open_client, without_key
from diagnosis_zero.evaluate.pace import Pace
from diagnosis_zero.evaluate.replies import Reply
from diagnosis_zero.types import Chat, Completion, SamplingParams

AGAIN = frozenset({408, 409, 425, 429})
"""Statuses worth another try; those of 500 and above are too."""
FATAL = frozenset({401, 403, 404})
"""Statuses that every further call would meet as well."""
LONGEST_WAIT = 60.0

Create = Callable[..., Any]


class _PassingError(Exception):
    """A fault of this call alone; ``after`` seconds is what the server asked to wait."""

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.after = after


class _RefusedError(Exception):
    """The server has answered, and will not write this completion."""


@dataclass(slots=True)
class OpenAIGenerator:
    """``types.Generator`` and ``replies.Streaming`` over an endpoint. Each sample is a call of its own."""

    endpoint: Endpoint
    _pace: Pace = field(init=False)
    _limit_name: str = "max_tokens"

    def __post_init__(self) -> None:
        open_client(self.endpoint).close()  # a missing package or key shows here, not at the first call
        self._pace = Pace(self.endpoint.requests_per_minute)

    def stream(self, prompts: Sequence[Chat], n: int, params: SamplingParams) -> Iterator[Reply]:
        """Each reply as it comes; at most ``concurrency`` calls are under way.

        Raises:
            InputError: the server refuses every call (key, model or address), or cannot be reached at first.
        """
        running: set[Future[Reply]] = set()
        with open_client(self.endpoint) as client, ThreadPoolExecutor(self.endpoint.concurrency) as pool:
            create = self._create(client)
            try:
                for prompt, chat in enumerate(prompts):
                    for sample in range(n):
                        running.add(pool.submit(self._reply, create, chat, prompt, sample, params))
                        if len(running) >= self.endpoint.concurrency:
                            yield from _finished(running)
                while running:
                    yield from _finished(running)
            except (KeyboardInterrupt, InputError):
                wait(running)
                yield from (call.result() for call in running if call.exception() is None)  # they are paid for
                raise

    def generate(self, prompts: Sequence[Chat], n: int, params: SamplingParams) -> list[list[Completion]]:
        """All completions at once.

        Raises:
            RuntimeError: one of the calls failed for good.
        """
        found: dict[tuple[int, int], Completion] = {}
        for reply in self.stream(prompts, n, params):
            if reply.completion is None:
                raise RuntimeError(f"prompt {reply.prompt}: {reply.error}")
            found[reply.prompt, reply.sample] = reply.completion
        return [[found[prompt, sample] for sample in range(n)] for prompt in range(len(prompts))]

    def _reply(self, create: Create, chat: Chat, prompt: int, sample: int, params: SamplingParams) -> Reply:
        """One sample, tried until it comes, is refused, or has failed ``attempts`` times."""
        error = ""
        prompt_tokens = tokens = 0
        for attempt in range(1, self.endpoint.attempts + 1):
            self._pace.wait_turn()
            try:
                body = self._call(create, chat, sample, params)
                billed = _usage(body)
                prompt_tokens, tokens = prompt_tokens + billed[0], tokens + billed[1]
                completion = _completion(body, empty_is_fault=self.endpoint.empty_is_fault)
            except _PassingError as fault:
                error = str(fault)
                if attempt < self.endpoint.attempts:
                    self._pace.hold(fault.after)
                    self._pace.sleep(self._backoff(attempt))
            except _RefusedError as refusal:
                return Reply(prompt, sample, None, str(refusal), prompt_tokens, tokens, attempt)
            else:
                return Reply(prompt, sample, completion, None, prompt_tokens, tokens, attempt)
        return Reply(prompt, sample, None, error, prompt_tokens, tokens, self.endpoint.attempts)

    def _backoff(self, attempt: int) -> float:
        """Doubling, with up to half of it at random, so that parallel calls do not return together."""
        full: float = min(LONGEST_WAIT, self.endpoint.backoff * 2 ** (attempt - 1))
        return full * random.uniform(0.5, 1.0)

    def _call(self, create: Create, chat: Chat, sample: int, params: SamplingParams) -> dict[str, Any]:
        import openai

        try:
            raw = create(**self._arguments(chat, sample, params))
        except openai.APIStatusError as error:
            raise self._status_fault(error.status_code, error.response.headers, error.response.text) from error
        except openai.APITimeoutError as error:
            raise _PassingError(f"no reply within {self.endpoint.timeout:g} s") from error
        except (openai.APIConnectionError, OSError) as error:
            said = without_key(f"connection failed: {error.__cause__ or error}", self.endpoint)
            raise _PassingError(said) from error
        return _parse_body(raw.content)

    def _create(self, client: Any) -> Create:
        resource = client.completions if self.endpoint.style == "raw" else client.chat.completions
        create: Create = resource.with_raw_response.create
        return create

    def _arguments(self, chat: Chat, sample: int, params: SamplingParams) -> dict[str, Any]:
        """The request. A seed is sent only where it has a meaning, another one for each sample."""
        text: dict[str, Any] = {"messages": list(chat)}
        if self.endpoint.style == "raw":
            text = {"prompt": "\n".join(message["content"] for message in chat)}
        sampled = {"top_p": params.top_p, "seed": params.seed + sample} if params.temperature > 0 else {}
        extra = {"extra_body": {"top_k": params.top_k}} if params.top_k else {}
        stop = {"stop": list(params.stop)} if params.stop else {}
        return {
            "model": self.endpoint.model,
            "temperature": params.temperature,
            self._limit_name: params.max_tokens,
            **text,
            **sampled,
            **extra,
            **stop,
        }

    def _status_fault(self, status: int, headers: Any, text: str) -> Exception:
        """What an HTTP error means for this call: try again, give it up, or stop altogether."""
        said = without_key(f"HTTP {status}: {_message(text)}", self.endpoint)
        if status == 400 and "max_completion_tokens" in text:  # also of calls sent before the first answer came
            self._limit_name = "max_completion_tokens"  # OpenAI's newer models; known after the first call
            return _PassingError(said)
        if status in FATAL or "insufficient_quota" in text:
            mend = "Check the key, the model's name and the address (most end in /v1)."
            return InputError(said, where=self.endpoint.url, mend=mend)
        if status in AGAIN or status >= 500:
            return _PassingError(said, _retry_after(headers))
        return _RefusedError("content filter: " + said if "content_filter" in text else said)


def _finished(running: set[Future[Reply]]) -> Iterator[Reply]:
    """Take out the calls that are done, at least one of them, and yield their replies."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for call in done:
        running.discard(call)
        yield call.result()


def _parse_body(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _PassingError("the reply is not JSON") from error
    if not isinstance(body, dict):
        raise _PassingError("the reply is not a JSON object")
    return body


def _completion(body: dict[str, Any], *, empty_is_fault: bool) -> Completion:
    """The completion in a reply. A server that splits reasoning off has it put back in its tags."""
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise _PassingError("the reply holds no choice")
    finish = choice.get("finish_reason")
    message = choice.get("message") if isinstance(choice.get("message"), dict) else choice
    assert isinstance(message, dict)
    if finish == "content_filter":
        raise _RefusedError("content filter")
    if message.get("refusal"):
        raise _RefusedError(f"refusal: {_writable(str(message['refusal'])[:200])}")
    text = message.get("content") if "content" in message else message.get("text")
    if (text is None and finish != "length") or not isinstance(text, str | None):
        raise _PassingError("the reply holds no text")
    if empty_is_fault and not (text or "").strip():
        raise _PassingError("the reply is empty")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str) and "<think>" not in (text or ""):
        text = f"<think>{reasoning}</think>{text or ''}"
    return Completion(_writable(text or ""), "length" if finish == "length" else "stop")


def _message(text: str) -> str:
    """The server's own words, short and on one line."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        text = str(json.loads(text)["error"]["message"])
    return _writable(" ".join(text[:300].split()))


def _writable(text: str) -> str:
    """JSON may hold halves of a character ("\\ud800"), which no file can; each becomes a question mark."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _retry_after(headers: Any) -> float:
    """Seconds the server asked to wait (``retry-after`` in seconds; a date counts as none), at most a minute."""
    try:
        return min(LONGEST_WAIT, max(0.0, float(headers.get("retry-after", 0))))
    except ValueError:
        return 0.0


def _usage(body: dict[str, Any]) -> tuple[int, int]:
    """Tokens of prompt and completion that the server counted; 0 where it did not."""
    usage = body.get("usage")
    found = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else []
    prompt, completion = (value if isinstance(value, int) else 0 for value in found or (0, 0))
    return prompt, completion
