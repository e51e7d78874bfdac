"""The OpenAI-compatible client against a real server on loopback."""

from __future__ import annotations

import time

import pytest
from benchmarks.judge_server import FAULTS, Double, reply_body, serving
from doubles import full_form, make_cases

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.clients import OpenAIGenerator
from diagnosis_zero.evaluate.endpoint import Endpoint, check_address, is_local
from diagnosis_zero.evaluate.pace import Pace
from diagnosis_zero.evaluate.run import evaluate
from diagnosis_zero.types import SamplingParams

GREEDY = SamplingParams(max_tokens=64, temperature=0)


def chats(count):
    return [[{"role": "user", "content": f"prompt {i}"}] for i in range(count)]


def client(url, **changes):
    return OpenAIGenerator(Endpoint(url, "double", **{"backoff": 0.001, "timeout": 0.4} | changes))


def echo(request):
    return request["messages"][-1]["content"]


def test_replies_belong_to_their_prompts_whatever_their_order():
    with serving(Double(echo)) as url:
        found = client(url).generate(chats(20), 1, GREEDY)
    assert [row[0].text for row in found] == [f"prompt {i}" for i in range(20)]


def test_samples_get_seeds_of_their_own_and_greedy_calls_none():
    double = Double(echo)
    with serving(double) as url:
        client(url).generate(chats(1), 3, SamplingParams(max_tokens=8, seed=5, top_k=4))
        client(url).generate(chats(1), 1, GREEDY)
    *sampled, greedy = double.requests
    assert sorted(request["seed"] for request in sampled) == [5, 6, 7]
    assert sampled[0]["top_k"] == 4
    assert "seed" not in greedy
    assert greedy["temperature"] == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_every_passing_fault_is_tried_again(fault):
    double = Double(echo, lambda request, count: fault if count == 1 else None)
    with serving(double) as url:
        (reply,) = client(url, empty_is_fault=True).stream(chats(1), 1, GREEDY)
    assert reply.completion.text == "prompt 0"
    assert reply.attempts == 2


def test_a_call_that_always_fails_is_given_up_and_named():
    double = Double(echo, lambda request, count: "500" if "prompt 1" in str(request) else None)
    with serving(double) as url:
        found = {reply.prompt: reply for reply in client(url, attempts=3).stream(chats(3), 1, GREEDY)}
    assert found[1].completion is None
    assert found[1].error == "HTTP 500: fault 500"
    assert found[1].attempts == 3
    assert found[0].completion.text == "prompt 0"
    assert len(double.requests) == 5


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (reply_body(None, refusal="I will not"), "refusal: I will not"),
        (reply_body("x", finish="content_filter"), "content filter"),
    ],
)
def test_a_refusal_is_not_asked_again(body, error):
    double = Double(lambda request: body)
    with serving(double) as url:
        (reply,) = client(url).stream(chats(1), 1, GREEDY)
    assert (reply.completion, reply.error, len(double.requests)) == (None, error, 1)


def test_azures_filter_is_a_refusal_too():
    fault = (400, {"error": {"code": "content_filter", "message": "filtered"}})
    double = Double(echo, lambda request, count: fault)
    with serving(double) as url:
        (reply,) = client(url).stream(chats(1), 1, GREEDY)
    assert reply.error.startswith("content filter")
    assert len(double.requests) == 1


@pytest.mark.parametrize("status", [401, 404])
def test_a_wrong_key_or_model_stops_at_once(status):
    double = Double(echo, lambda request, count: (status, {"error": {"message": "no such thing"}}))
    with serving(double) as url, pytest.raises(InputError, match=f"HTTP {status}: no such thing"):
        list(client(url, concurrency=1).stream(chats(50), 1, GREEDY))
    assert len(double.requests) == 1


def test_an_evaluated_model_may_say_nothing():
    with serving(Double(lambda request: "")) as url:
        (reply,) = client(url).stream(chats(1), 1, GREEDY)
    assert reply.completion.text == ""


def test_a_length_stop_and_the_bill_come_through():
    with serving(Double(lambda request: reply_body("cut sho", finish="length"))) as url:
        (reply,) = client(url).stream(chats(1), 1, GREEDY)
    assert reply.completion.finish == "length"
    assert (reply.prompt_tokens, reply.tokens) == (100, 5)


def test_half_a_character_in_a_reply_does_not_end_the_evaluation(tmp_path):
    reply = full_form("Marfan syndrome") + "\ud83d"
    settings = {"model": "double", "step": 0, "template": "{case}", "params": GREEDY, "judge": "ontology"}
    with serving(Double(lambda request: reply)) as url:
        summary = evaluate(client(url), make_cases(5), tmp_path / "eval", **settings)
    assert (summary.failed, summary.accuracy.value) == (0, 0.2)


def test_reasoning_that_the_server_split_off_is_put_back():
    body = reply_body("<answer>Fabry disease</answer>", reasoning_content="burning feet")
    with serving(Double(lambda request: body)) as url:
        (reply,) = client(url).stream(chats(1), 1, GREEDY)
    assert reply.completion.text == "<think>burning feet</think><answer>Fabry disease</answer>"


def test_raw_style_sends_the_bare_text():
    double = Double(lambda request: request["prompt"].upper())
    with serving(double) as url:
        (reply,) = client(url, style="raw").stream(chats(1), 1, GREEDY)
    assert reply.completion.text == "PROMPT 0"
    assert double.headers[0][0] == "/v1/completions"


def test_newer_models_get_the_limit_under_its_new_name():
    said = (400, {"error": {"message": "Unsupported parameter; use 'max_completion_tokens' instead."}})
    double = Double(echo, lambda request, count: said if "max_tokens" in request else None)
    with serving(double) as url:
        found = client(url, concurrency=1).generate(chats(3), 1, GREEDY)
    assert found[2][0].text == "prompt 2"
    assert [("max_tokens" in request) for request in double.requests] == [True, False, False, False]


def test_calls_sent_before_the_new_name_was_known_are_sent_again():
    said = (400, {"error": {"message": "Unsupported parameter; use 'max_completion_tokens' instead."}})
    double = Double(echo, lambda request, count: said if "max_tokens" in request else None, slow=0.1)
    with serving(double) as url:
        found = client(url, concurrency=8).generate(chats(8), 1, GREEDY)
    assert [group[0].text for group in found] == [f"prompt {i}" for i in range(8)]
    assert sum("max_tokens" in request for request in double.requests) > 1


def test_at_most_as_many_calls_as_asked_are_under_way():
    double = Double(echo, slow=0.02)
    with serving(double) as url:
        client(url, concurrency=3).generate(chats(12), 1, GREEDY)
    assert 1 < double.most_at_once <= 3


class Clock:
    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds


def test_the_rate_is_kept_and_a_pause_holds_for_all():
    clock = Clock()
    pace = Pace(60, clock=lambda: clock.now, sleep=clock.sleep)
    for _ in range(5):
        pace.wait_turn()
    assert clock.now == 4
    pace.hold(30)
    pace.wait_turn()
    assert clock.now == 34


def test_a_429_with_retry_after_is_waited_for(monkeypatch):
    waits = []
    monkeypatch.setattr(Pace, "hold", lambda self, seconds: waits.append(seconds))
    fault = (429, {"error": {"message": "slow down"}}, {"Retry_After": "7"})
    double = Double(echo, lambda request, count: fault if count == 1 else None)
    with serving(double) as url:
        client(url).generate(chats(1), 1, GREEDY)
    assert waits == [7.0]


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost:11434/v1", True),
        ("http://localhost.example.org/v1", False),
        ("http://127.0.0.1.example.org/v1", False),
        ("http://192.168.0.5/v1", False),
        ("https://api.openai.com/v1", False),
        ("http://127.0.0.1@example.org/v1", False),
    ],
)
def test_what_is_this_machine(url, local):
    assert is_local(url) is local


def test_case_text_leaves_this_machine_only_when_allowed():
    remote = Endpoint("https://api.example.org/v1", "m")
    with pytest.raises(InputError, match=r"40 case texts will be sent to api\.example\.org.*--allow-remote"):
        check_address(remote, "40 case texts")
    allowed = Endpoint("https://api.example.org/v1", "m", allow_remote=True)
    assert check_address(allowed, "40 case texts") == "40 case texts will be sent to api.example.org."
    assert check_address(Endpoint("http://127.0.0.1/v1", "m"), "x") is None
    with pytest.raises(InputError, match="not an http address"):
        check_address(Endpoint("file:///etc/passwd", "m"), "x")


def test_a_redirect_does_not_carry_the_text_elsewhere():
    elsewhere = Double(echo)
    with serving(elsewhere) as other:
        moved = (307, {}, {"Location": f"{other}/chat/completions"})
        with serving(Double(echo, lambda request, count: moved)) as url:
            (reply,) = client(url).stream(chats(1), 1, GREEDY)
    assert reply.completion is None
    assert elsewhere.requests == []


def test_a_proxy_is_not_used_for_this_machine(monkeypatch):
    proxy = Double(echo)
    with serving(proxy) as other, serving(Double(echo)) as url:
        monkeypatch.setenv("HTTP_PROXY", other.removesuffix("/v1"))
        monkeypatch.setenv("ALL_PROXY", other.removesuffix("/v1"))
        client(url).generate(chats(1), 1, GREEDY)
    assert proxy.requests == []


def test_a_key_goes_only_where_it_belongs(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-openai")
    monkeypatch.setenv("MY_KEY", "mine")
    double = Double(echo)
    with serving(double) as url:
        client(url).generate(chats(1), 1, GREEDY)
        client(url, key_variable="MY_KEY").generate(chats(1), 1, GREEDY)
    sent = [headers["authorization"] for _, headers in double.headers]
    assert sent == ["Bearer none", "Bearer mine"]
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(InputError, match="MY_KEY is not set"):
        client("http://127.0.0.1/v1", key_variable="MY_KEY")


@pytest.mark.parametrize("status", [401, 500])
def test_a_key_that_the_server_repeats_is_not_shown(monkeypatch, status):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    double = Double(echo, lambda request, count: (status, {"error": {"message": "bad key Bearer sk-secret"}}))
    with serving(double) as url:
        generator = client(url, key_variable="MY_KEY", attempts=1)
        try:
            said = next(iter(generator.stream(chats(1), 1, GREEDY))).error
        except InputError as error:
            said = str(error)
    assert "bad key Bearer (key)" in said
    assert "sk-secret" not in said


def test_an_address_that_holds_a_password_is_refused_without_saying_it():
    endpoint = Endpoint("https://me:sk-secret@127.0.0.1/v1", "m")
    with pytest.raises(InputError, match="--key-env") as caught:
        check_address(endpoint, "texts")
    assert "sk-secret" not in str(caught.value)


def test_what_was_under_way_when_the_run_had_to_stop_is_kept():
    """The first call meets a lost quota; the others, sent with it, are answered a little later and paid for."""

    def fault(request, count):
        if "prompt 0" in str(request):
            return 429, {"error": {"message": "insufficient_quota"}}
        time.sleep(0.2)
        return None

    came = []
    with serving(Double(echo, fault)) as url:
        stream = client(url, concurrency=4).stream(chats(4), 1, GREEDY)
        with pytest.raises(InputError, match="insufficient_quota"):
            came.extend(reply.prompt for reply in stream)
    assert sorted(came) == [1, 2, 3]


def test_an_evaluation_over_http_asks_again_only_for_what_failed(tmp_path):
    cases = make_cases(10)
    broken = {"on": True}
    double = Double(
        lambda request: full_form("Marfan syndrome"),
        lambda request, count: "500" if broken["on"] and "Patient 3 " in str(request) else None,
    )
    settings = {"model": "double", "step": 0, "template": "{case}", "params": GREEDY, "judge": "ontology"}
    with serving(double) as url:
        first = evaluate(client(url, attempts=2), cases, tmp_path / "eval", **settings)
        assert (first.failed, first.accuracy.n) == (1, 9)
        broken["on"] = False
        asked = len(double.requests)
        second = evaluate(client(url), cases, tmp_path / "eval", **settings)
    assert (second.failed, second.accuracy.n) == (0, 10)
    assert len(double.requests) == asked + 1
