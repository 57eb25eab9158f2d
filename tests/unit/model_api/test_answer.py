"""The meaning of the model API's answers."""

import math
import time
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.domain.reload import Ending, Outcome
from bot.model_api.answer import (
    DEFAULT_WAIT,
    Answer,
    Rendering,
    classify,
    read_rendering,
)
from bot.model_api.balance import Balance, read_balance
from bot.model_api.wait import LONGEST_BELIEVED_WAIT

CANARY = "canary-K3y-0123456789abcdef"
KEY = SecretStr(CANARY)
YES = orjson.dumps({"status": "success", "message": "Model is reloading"})


NOW = 1_800_000_000.0


def read(status: int, body: Any, headers: dict[str, str] | None = None, model: str = "sdxl") -> Answer:
    raw_body = body if isinstance(body, bytes) else orjson.dumps(body)
    return classify(status, headers or {}, raw_body, KEY, model, NOW)


def error(text: Any, **more: Any) -> dict[str, Any]:
    return {"status": "error", "message": text, **more}


OLD_TIP = "make sure you are sending the request as json, and that your key is right"
SPAM_TIP = "Spam filter: wait 30 seconds before the same request"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"status": "success", "message": "Model is reloading"}),
        (200, {"status": "success", "messege": "Model is reloading"}),
        (200, {"status": "processing", "message": "Model is reloading"}),
        (200, {"status": "Success "}),
        (200, {"status": "success"}),
        (200, {"status": "success", "message": None}),
        (201, {"status": "success", "output": [], "id": 1, "generationTime": 0.3}),
        (200, b"\xef\xbb\xbf" + YES),
        (200, b"  \r\n" + YES + b"\n"),
        # A field that nobody reads, and that cannot be read.
        (200, b'{"status": "success", "eta": 1e999}'),
        (200, b'{"status": "success", "id": %s}' % (b"9" * 5000)),
        (200, b'{"status": "success", "message": "caf\xe9"}'),
        # The wording that the only public client of this endpoint looks for; it ignores the status.
        (200, {"messege": "Model is reloading"}),
        (200, {"message": "Model is reloading"}),
        (200, {"messege": "model is reloading."}),
        (200, {"message": "Model is reloading, please wait 2 minutes"}),
        (200, {"message": "The model sdxl is now being reloaded"}),
        (200, {"message": "Model is loading"}),
        (200, {"status": "queued", "message": "Model is reloading"}),
        (200, {"status": "ok", "messege": "Model is reloading"}),
        (200, {"status": 200, "message": "Model is reloading"}),
        (201, {"status": True, "message": "Model is reloading"}),
        (200, {"messege": "Model is reloading", "error": None, "errors": [], "success": True}),
    ],
)
def test_a_clear_yes_starts_the_countdown(status: int, body: Any) -> None:
    assert read(status, body) == Answer(Outcome.ACCEPTED)
    assert read(status, body).outcome.ending is Ending.READY


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        # The documented wording, both generations.
        (200, {"status": "error", "messege": "Invalid Api Key", "tip": OLD_TIP}, Outcome.WRONG_KEY),
        (200, error("Invalid Api Key", tip=OLD_TIP), Outcome.WRONG_KEY),
        (401, error("Invalid API key"), Outcome.WRONG_KEY),
        (401, error("API key required"), Outcome.WRONG_KEY),
        (200, error("INVALID API KEY"), Outcome.WRONG_KEY),
        (200, {"status": "error", "messege": "Model id not found"}, Outcome.UNKNOWN_MODEL),
        (200, error("Model not found: sdxl-turbo"), Outcome.UNKNOWN_MODEL),
        (404, error(f"Model not found: {'x' * 100}"), Outcome.UNKNOWN_MODEL),
        (402, error("Insufficient credits. Please top up your wallet."), Outcome.NO_CREDITS),
        (200, error("Insufficient credits. Please top up your wallet."), Outcome.NO_CREDITS),
        (403, error("This feature requires a premium subscription"), Outcome.PLAN_TOO_SMALL),
        (403, error("Feature not available"), Outcome.PLAN_TOO_SMALL),
        (200, {"status": "failed", "message": "Failed, Try Again"}, Outcome.REFUSED),
        (200, error("Something else"), Outcome.REFUSED),
        (400, error("Bad request"), Outcome.REFUSED),
        (200, {"status": "error"}, Outcome.REFUSED),
        (200, error(None), Outcome.REFUSED),
        # Words without a status word.
        (200, {"messege": "Invalid Api Key"}, Outcome.WRONG_KEY),
        (401, {"error": "Invalid API key"}, Outcome.WRONG_KEY),
        (401, {"error": {"code": "x", "message": "Invalid API key"}}, Outcome.WRONG_KEY),
        # Validation failures nest their text.
        (200, error({"key": ["The key field is required."]}), Outcome.WRONG_KEY),
        (422, error({"model_id": ["The selected model id is invalid."]}), Outcome.UNKNOWN_MODEL),
        (422, error({"model_id": ["The model id field is required."]}), Outcome.REFUSED),
        (200, error(["Invalid Api Key", "and more"]), Outcome.WRONG_KEY),
        (200, error([{"deep": [["Model id not found"]]}]), Outcome.UNKNOWN_MODEL),
        # The status is the reason where a JSON object does not say yes.
        (401, {"message": "Unauthenticated."}, Outcome.WRONG_KEY),
        (401, error("Go away"), Outcome.WRONG_KEY),
        (402, {}, Outcome.NO_CREDITS),
        (403, {"status": "error"}, Outcome.PLAN_TOO_SMALL),
        (403, {"status": "ok"}, Outcome.PLAN_TOO_SMALL),
        # A 404 is about the address, unless its words speak of a model.
        (404, {"status": "error"}, Outcome.ADDRESS_GONE),
        (404, error(""), Outcome.ADDRESS_GONE),
        (404, {"message": ""}, Outcome.ADDRESS_GONE),
        (404, {"message": "Not Found"}, Outcome.ADDRESS_GONE),
        (404, error("Route not found"), Outcome.ADDRESS_GONE),
        (404, error("Endpoint not found"), Outcome.ADDRESS_GONE),
        (410, error("Gone"), Outcome.ADDRESS_GONE),
        (200, error("Route not found"), Outcome.ADDRESS_GONE),
        (404, {"message": "The route api/v4/x could not be found."}, Outcome.ADDRESS_GONE),
        (404, {"message": "The route api/models/model/reload could not be found."}, Outcome.ADDRESS_GONE),
        (404, {"message": "The model you asked for could not be found"}, Outcome.UNKNOWN_MODEL),
        (404, {"message": "sdxl not found"}, Outcome.UNKNOWN_MODEL),
        (404, {"message": "No such model"}, Outcome.UNKNOWN_MODEL),
        # Nothing left to spend, as users of the API met it.
        (
            200,
            error("Your monthly limit exceeded, upgrade subscription now on https://x/pricing"),
            Outcome.NO_CREDITS,
        ),
        (200, error("Insufficient credits. Please recharge your wallet."), Outcome.NO_CREDITS),
        (200, error("Not enough balance"), Outcome.NO_CREDITS),
        (200, error("You do not have enough balance to do this"), Outcome.NO_CREDITS),
        (200, error("You are out of credits"), Outcome.NO_CREDITS),
        (200, error("Your wallet balance is low"), Outcome.NO_CREDITS),
        (403, error("Your wallet is too low for this"), Outcome.NO_CREDITS),
        (403, error("insufficient funds"), Outcome.NO_CREDITS),
        (403, error("Your subscription has expired"), Outcome.NO_CREDITS),
        (200, error("Your plan has expired, renew it"), Outcome.NO_CREDITS),
        (200, error("You have exceeded your monthly quota"), Outcome.NO_CREDITS),
        (200, error("Image limit reached, please upgrade"), Outcome.NO_CREDITS),
        (401, error("API key of an expired subscription"), Outcome.NO_CREDITS),
        # A malformed request has words of its own.
        (200, error("Invalid API Request", tip="1. check your key"), Outcome.REFUSED),
        # `error` and `failed` outweigh friendly words.
        (200, error("Model is reloading"), Outcome.REFUSED),
        (200, {"status": "failed", "messege": "Model is reloading"}, Outcome.REFUSED),
        # A 4xx with a text comes from the framework, which knows no status word.
        (400, {"message": "Bad Request"}, Outcome.REFUSED),
        (405, {"message": "The POST method is not supported for this route."}, Outcome.REFUSED),
        (422, {"message": "The given data was invalid."}, Outcome.REFUSED),
        (
            422,
            {"message": "No.", "errors": {"model_id": ["The selected model id is invalid."]}},
            Outcome.UNKNOWN_MODEL,
        ),
        # Trouble on their side, said clearly.
        (500, error("Something went wrong. Please try again."), Outcome.VENDOR_TROUBLE),
        (503, error("Service unavailable, try again later"), Outcome.VENDOR_TROUBLE),
        (500, error("Invalid API key"), Outcome.WRONG_KEY),
    ],
)
def test_a_refusal_ends_as_failed_with_its_reason(status: int, body: Any, outcome: Outcome) -> None:
    answer = read(status, body)
    assert (answer.outcome, answer.outcome.ending) == (outcome, Ending.FAILED)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"null"),
        (200, b"true"),
        (200, b"[]"),
        (200, b'"success"'),
        (200, b'[{"status": "success"}]'),
        (200, b"{}"),
        (200, b'{"status": "success"'),
        (200, b'{"status": "success"} <br>'),
        (200, b"\xff\xfe\x00"),
        (200, b"[" * 60_000),
        (200, {"status": "ok"}),
        (200, {"status": "queued"}),
        (200, {"status": True}),
        (200, {"status": ["success"]}),
        (200, b"<html>Model is reloading</html>"),
        # Friendly only at first glance.
        (200, {"messege": "Model is not reloading"}),
        (200, {"messege": "Model is not loading"}),
        (200, {"messege": "Model could not be reloaded"}),
        (200, {"messege": "Model reloading failed"}),
        (200, {"messege": "Model isn't loaded"}),
        (200, {"messege": "No model is reloading"}),
        (200, {"messege": "Model is reloading", "error": "no"}),
        (200, {"messege": "Model is reloading", "success": False}),
        (200, {"messege": "Model reloading requires more of you"}),
        (200, {"status": "rejected", "messege": "Model is reloading"}),
        (200, {"status": False, "messege": "Model is reloading"}),
        (200, {"status": 500, "messege": "Model is reloading"}),
        (200, {"messege": "The bot is reloading"}),
        (500, {"messege": "Model is reloading"}),
        # These may come from something in front of the API.
        (408, {"message": "Request timed out"}),
        (425, {"message": "Too early"}),
        (499, {"message": "Closed"}),
        (400, {}),
        (524, b"<html>A timeout occurred</html>"),
        (401, b"<html>Unauthorized</html>"),
        (404, b"<html>Not found</html>"),
        (403, b"[]"),
        (500, b"<html>Server Error</html>"),
        (500, {"message": "Server Error"}),
        (502, b"Bad gateway"),
        (503, b""),
        (504, b"<html>Gateway time-out</html>"),
        (301, YES),
        (302, b""),
        (307, error("Invalid API key")),
        (308, YES),
    ],
)
def test_no_clear_word_ends_as_unknown(status: int, body: Any) -> None:
    answer = read(status, body)
    assert answer.outcome is Outcome.NO_USABLE_ANSWER
    assert answer.outcome.ending is Ending.UNKNOWN


LIMIT = "Rate limit exceeded. Maximum 5 queued requests allowed."


@pytest.mark.parametrize(
    ("body", "headers", "wait"),
    [
        (error(LIMIT, retry_after=30), {}, 30),
        (error(LIMIT, retry_after=1), {}, 1),
        (error(LIMIT, retry_after=60), {}, 60),
        (error(LIMIT, retry_after=2.5), {}, 2.5),
        (error(LIMIT, retry_after="30"), {}, 30),
        (error(LIMIT), {"retry-after": "30"}, 30),
        (error(LIMIT, retry_after=10), {"retry-after": "20"}, 20),
        (error(LIMIT, retry_after="soon"), {"retry-after": "20"}, 20),
        (b"<html>Too many requests</html>", {"retry-after": "5"}, 5),
        ({"retry_after": 7}, {}, 7),
        (error("Rate limit exceeded", current_queue=17), {"x-ratelimit-reset": str(int(NOW) + 40)}, 40),
        (error("Rate limit exceeded", tips=SPAM_TIP), {}, 30),
        (error("Rate limit exceeded, try again in 45 seconds"), {}, 45),
        (error("Too many requests. Please wait for 1 min."), {}, 60),
        (error("Slow down and retry in a minute", retry_after=2), {}, 60),
    ],
)
def test_a_429_that_names_a_short_wait_may_be_waited_out(
    body: Any, headers: dict[str, str], wait: float
) -> None:
    answer = read(429, body, headers)
    assert (answer.outcome, answer.wait, answer.named) == (Outcome.SLOW_DOWN, wait, True)


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait"),
    [
        (429, error(LIMIT), {}, DEFAULT_WAIT),
        (429, b"", {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=61), {}, 61),
        (429, error(LIMIT, retry_after=3600), {}, 3600),
        (429, error(LIMIT, retry_after=172800), {}, 172800),
        (429, error(LIMIT, retry_after=30), {"retry-after": "120"}, 120),
        (429, error(LIMIT, retry_after=0.5), {}, 0.5),
        (429, error(LIMIT, retry_after=0), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=-30), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=True), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=None), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=[30]), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after="NaN"), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after="inf"), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after="half a minute"), {}, DEFAULT_WAIT),
        (429, error(LIMIT, retry_after=1e300), {}, DEFAULT_WAIT),
        (429, b'{"status": "error", "retry_after": %s}' % (b"9" * 400), {}, DEFAULT_WAIT),
        (429, error(LIMIT), {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, DEFAULT_WAIT),
        (429, error(LIMIT), {"retry-after": "-1"}, DEFAULT_WAIT),
        # Without a 429 no wait is waited out, whatever it says.
        (200, error("Rate limit exceeded", tips=SPAM_TIP), {}, DEFAULT_WAIT),
        (200, {"status": "error", "messege": "Rate limit exceeded", "retry_after": 30}, {}, 30),
        (200, {"message": "Too many requests"}, {"retry-after": "12"}, 12),
        (503, error("Please slow down"), {}, DEFAULT_WAIT),
        (200, error("Queue is full"), {}, DEFAULT_WAIT),
        (200, error("The queue is full", tip="wait for 40 seconds"), {}, 40),
        (429, error("Rate limit exceeded, try again in 30 minutes"), {}, 1800),
        (429, error("Rate limit exceeded, try again in 1 hour and 5 minutes"), {}, 3900),
        (429, error("Rate limit exceeded, try after 5 minutes"), {}, 300),
        (429, error("Rate limit exceeded: 100 requests in 24 hours"), {}, DEFAULT_WAIT),
        (429, error("Rate limit exceeded, try again in 90 days"), {}, DEFAULT_WAIT),
        (429, error(LIMIT), {"x-ratelimit-reset": str(int(NOW) + 3600)}, 3600),
        (429, error(LIMIT), {"x-ratelimit-reset": str(int(NOW) - 5)}, DEFAULT_WAIT),
        (429, error(LIMIT), {"x-ratelimit-reset": "60"}, DEFAULT_WAIT),
        (429, error(LIMIT), {"x-ratelimit-reset": "9" * 400}, DEFAULT_WAIT),
    ],
)
def test_any_other_slow_down_ends_as_failed_with_the_time_when_it_works_again(
    status: int, body: Any, headers: dict[str, str], wait: float
) -> None:
    answer = read(status, body, headers)
    assert (answer.outcome, answer.wait, answer.named) == (Outcome.SLOW_DOWN, wait, False)
    assert answer.outcome.ending is Ending.FAILED


def test_a_429_with_a_reason_is_read_by_its_words() -> None:
    assert read(429, error("Invalid API key")).outcome is Outcome.WRONG_KEY


def test_a_refusal_is_told_in_the_apis_own_words() -> None:
    assert read(405, {"message": "Use GET"}) == Answer(Outcome.REFUSED, "Use GET")


def test_the_model_s_id_names_no_wait() -> None:
    answer = read(429, error("Rate limit exceeded for wait-30-minutes"), model="wait-30-minutes")
    assert answer.wait == DEFAULT_WAIT


@pytest.mark.parametrize(
    ("status", "body", "in_words"),
    [
        (200, {"status": "error", "messege": "Invalid Api Key"}, True),
        (401, {"message": "Invalid API key"}, True),
        (401, {"message": "Unauthenticated."}, False),
        (401, {"status": "error"}, False),
    ],
)
def test_a_key_is_refused_in_words_or_only_by_a_status(status: int, body: Any, in_words: bool) -> None:
    answer = read(status, body)
    assert (answer.outcome, answer.in_words) == (Outcome.WRONG_KEY, in_words)


@pytest.mark.parametrize(
    "model",
    [
        "premium-anime",
        "key-invalid",
        "api-key-required",
        "no-credits",
        "subscription-girl",
        "unknown-model",
        "a",
    ],
)
@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Model not found: {}", Outcome.UNKNOWN_MODEL),
        ("Model {} does not exist", Outcome.UNKNOWN_MODEL),
        ("The selected model [{}] is invalid.", Outcome.UNKNOWN_MODEL),
        ("Could not load {}", Outcome.REFUSED),
        ("{} is busy", Outcome.REFUSED),
        ("Invalid API key for {}", Outcome.WRONG_KEY),
    ],
)
def test_an_echoed_model_id_does_not_speak_for_the_api(model: str, text: str, outcome: Outcome) -> None:
    """The words of the id are the uploader's: "Model not found: premium-anime" is about the model."""
    for echoed in (model, model.upper()):
        assert read(200, error(text.format(echoed)), model=model).outcome is outcome


@pytest.mark.parametrize("word", ["ok", "queued"])
def test_a_429_that_may_mean_yes_is_not_asked_again(word: str) -> None:
    body = {"status": word, "message": "Model is reloading", "retry_after": 5}
    assert read(429, body) == Answer(Outcome.NO_USABLE_ANSWER, "Model is reloading")


def test_a_flood_of_nested_text_is_read_quickly_and_bounded() -> None:
    answer = read(200, error([["x" * 10] * 10] * 500))
    assert answer.outcome is Outcome.REFUSED
    assert len(answer.said) <= 60


@pytest.mark.parametrize("words", ["wait ", "model ", "again 1 s ", "limit exceeded ", "key "])
def test_a_flood_of_words_that_nearly_match_holds_nobody_up(words: str) -> None:
    began = time.thread_time()
    read(429, {"message": (words * 60_000)[:60_000]})
    assert time.thread_time() - began < 0.1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["status", "message", "messege", "error", "errors", "retry_after", "tip", "tips"])
words = st.sampled_from(
    [
        "Model is reloading",
        "Model is not loading",
        "Your monthly limit exceeded, upgrade subscription now",
        "Route not found",
        "Queue is full",
        "try again in 30 minutes",
        "wait for 99999999 hours",
        "queued",
        "success",
        "SUCCESS",
        "processing",
        "error",
        "failed",
        "ok",
        LIMIT,
        "Invalid Api Key",
        "nan",
        "30",
        CANARY,
    ]
)
objects = st.dictionaries(fields, words | json_values, max_size=6).map(orjson.dumps)
bodies = st.binary(max_size=300) | json_values.map(orjson.dumps) | objects
header_names = st.sampled_from(["retry-after", "x-ratelimit-reset", "content-type"])
header_sets = st.dictionaries(header_names, st.text() | words | st.just(str(NOW + 9)), max_size=2)


@given(status=st.integers(-1, 1000), headers=header_sets, body=bodies)
@example(status=200, headers={}, body=b'{"status":"\\u212a"}')
def test_no_answer_at_all_can_break_the_reading_or_pass_for_a_yes(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    answer = classify(status, headers, body, KEY, "sdxl", NOW)
    if answer.outcome is Outcome.ACCEPTED:
        value = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
        assert isinstance(value, dict)
        word = str(value.get("status")).strip().lower()
        friendly = (
            "Model is reloading" in (value.get("message"), value.get("messege")) and 200 <= status < 300
        )
        assert word in ("success", "processing") or (friendly and word not in ("error", "failed"))
        assert not 300 <= status < 400
    assert answer.wait is None or (math.isfinite(answer.wait) and 0 < answer.wait <= LONGEST_BELIEVED_WAIT)
    if answer.named:
        assert status == 429
        assert answer.wait is not None
        assert 1 <= answer.wait <= 60


# --- A picture ----------------------------------------------------------------------------------------


def rendering(status: int, body: Any) -> Rendering:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_rendering(status, {}, raw, KEY, "sdxl-turbo")


URL, PROXY = "https://pictures.example/1.png", "https://second.example/1.png"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "success", "output": [URL]}, Rendering(Outcome.RENDERED, picture=URL)),
        ({"status": "success", "output": [None, URL, "x"]}, Rendering(Outcome.RENDERED, picture=URL)),
        ({"status": "processing", "output": [URL]}, Rendering(Outcome.RENDERED, picture=URL)),
        (
            {"status": "success", "output": [URL], "proxy_links": [PROXY]},
            Rendering(Outcome.RENDERED, picture=f"{URL} {PROXY}"),
        ),
        *(
            (
                {"status": "success", "output": [URL], "proxy_links": odd},
                Rendering(Outcome.RENDERED, picture=URL),
            )
            for odd in (None, [], [None], PROXY, [f"{PROXY}?{CANARY}"], ["x\ny"], {"0": PROXY})
        ),
        (
            {"status": "success", "output": ["https://x.example/a b.png"]},
            Rendering(Outcome.RENDERED, picture="https://x.example/a%20b.png"),
        ),
        (
            b'{"status": "success", "output": ["https://x.example/\\ud800.png"]}',
            Rendering(Outcome.NO_PICTURE),
        ),
        ({"status": "processing", "id": 7}, Rendering(Outcome.RENDERING, job="7", wait=3.0)),
        ({"status": "queued", "id": 7, "output": ""}, Rendering(Outcome.RENDERING, job="7", wait=3.0)),
        ({"status": "Pending", "id": "7", "eta": 82.5}, Rendering(Outcome.RENDERING, job="7", wait=20.0)),
        ({"status": "queued"}, Rendering(Outcome.NO_USABLE_ANSWER)),
        ({"messege": "Model is loading"}, Rendering(Outcome.NO_USABLE_ANSWER)),
        (
            {"status": "failed", "id": "", "message": "Request not found", "output": "", "tip": "x"},
            Rendering(Outcome.NO_PICTURE),
        ),
        (
            {"status": "processing", "id": "a-b", "eta": "5"},
            Rendering(Outcome.RENDERING, job="a-b", wait=5.0),
        ),
        ({"status": "processing", "id": 7, "eta": 9e9}, Rendering(Outcome.RENDERING, job="7", wait=3.0)),
        ({"status": "processing", "id": 7, "eta": 999}, Rendering(Outcome.RENDERING, job="7", wait=20.0)),
        *(
            ({"status": "processing", "id": odd}, Rendering(Outcome.NO_USABLE_ANSWER))
            for odd in ("a/b", "../x", "", "x" * 65, [7], {"a": 1}, "7?key=1")
        ),
        ({"status": "success", "output": []}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "success", "output": [f"{URL}?key={CANARY}"]}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "success", "output": [f"{URL}?{'x' * 2048}"]}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "processing", "id": CANARY}, Rendering(Outcome.NO_USABLE_ANSWER)),
        ({"status": "success", "output": URL}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "success", "id": 7}, Rendering(Outcome.NO_PICTURE)),
        ({"status": "error", "output": [URL]}, Rendering(Outcome.REFUSED)),
        (
            {"status": "failed", "message": "Failed, Try Again"},
            Rendering(Outcome.REFUSED, said="Failed, Try Again"),
        ),
        ({"output": [URL]}, Rendering(Outcome.NO_USABLE_ANSWER)),
        ([URL], Rendering(Outcome.NO_USABLE_ANSWER)),
        (b"\xff", Rendering(Outcome.NO_USABLE_ANSWER)),
    ],
)
def test_what_an_answer_about_a_picture_means(body: Any, expected: Rendering) -> None:
    assert rendering(200, body) == expected


@given(
    status=st.integers(-1, 1000),
    body=bodies | json_values.map(lambda v: orjson.dumps({"status": "success", "output": v})),
)
def test_no_answer_about_a_picture_can_break_the_reading(status: int, body: bytes) -> None:
    answer = rendering(status, body)
    assert (answer.outcome is Outcome.RENDERED) == bool(answer.picture)
    assert (answer.outcome is Outcome.RENDERING) == bool(answer.job)
    assert answer.outcome is not Outcome.RENDERING or 3 <= answer.wait <= 20
    assert math.isfinite(answer.wait)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ({"status": "success", "data": {"balance": 43.6, "currency": "USD"}}, Balance(43.6, "USD")),
        ({"status": "success", "balance": "43.60", "currency": "usd"}, Balance(43.6, "USD")),
        ({"data": {"balance": 0}}, Balance(0.0, "")),
        ({"data": {"balance": -2.5, "currency": "<@1>"}}, Balance(-2.5, "")),
        ({"data": {"balance": True}}, None),
        ({"data": {"balance": "a lot"}}, None),
        ({"data": {"balance": "NaN"}}, None),
        ({"data": {"balance": 10**400}}, None),
        ({"data": {"balance": 1e300}}, None),
        ({"data": None}, None),
        ({"status": "error", "message": "Invalid API key"}, None),
        (None, None),
    ],
)
def test_a_balance_is_a_number_that_can_be_believed(
    answer: dict[str, Any] | None, left: Balance | None
) -> None:
    assert read_balance(answer, KEY) == left


def test_a_balance_that_is_a_piece_of_the_key_is_none() -> None:
    assert read_balance({"data": {"balance": 123456789012}}, SecretStr("123456789012-key-of-digits")) is None
