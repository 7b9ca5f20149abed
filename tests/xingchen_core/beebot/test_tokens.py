"""The token of streams: asked for once by all who need it, before it runs out, and again when it is refused."""

import asyncio
import gc
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from xingchen_core import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    ChatDelta,
    Client,
    InternalServerError,
    NotFoundError,
    XingchenError,
)
from xingchen_core.beebot import BeebotRequest, BeebotSettings, forget_token, open_chat, stream, token
from xingchen_core.emulator import Emulator

MakeSettings = Callable[..., BeebotSettings]


def request(utterance: str = "你好", **fields: Any) -> BeebotRequest:
    """A question to the demo robot."""
    return BeebotRequest(**{"instance_id": "chatbot-cn-demo", "utterance": utterance, **fields})


async def ask(client: Any, settings: BeebotSettings, utterance: str = "你好", **fields: Any) -> str:
    """The text of a streamed answer."""
    deltas: list[ChatDelta] = []
    call = await client.run(open_chat(request(utterance, **fields), settings))
    async for delta in await client.stream(call):
        deltas.append(delta)
    assert deltas[-1].last
    return "".join(delta.text for delta in deltas)


def asked(emulator: Emulator) -> list[str]:
    """What was requested, in order: `token`, or `chat`."""
    return ["chat" if received.path.startswith("/sse") else "token" for received in emulator.requests]


async def test_one_token_serves_many(client: Any, settings: MakeSettings, emulator: Emulator) -> None:
    """Questions, robots and settings objects of one account share a token."""
    emulator.beebot.add_robot("chatbot-cn-two")
    await ask(client, settings())
    await ask(client, settings(), instance_id="chatbot-cn-two")
    await ask(client, settings(max_retries=0))
    assert asked(emulator) == ["token", "chat", "chat", "chat"]


@pytest.mark.parametrize(
    "other",
    [
        {"agent_key": "k1"},
        {"access_key_id": "other", "access_key_secret": "secret"},
        {"credentials": SimpleNamespace(get_credential=lambda: None)},
        {"base_url": "http://127.0.0.1:1"},
    ],
    ids=["business space", "account", "credentials object", "host"],
)
def test_what_tells_tokens_apart(settings: MakeSettings, other: dict[str, Any]) -> None:
    """Another business space, account or host has another token."""
    assert stream.token_key(settings()) == stream.token_key(settings(timeout=1))
    assert stream.token_key(settings()) != stream.token_key(settings(**other))


async def test_spaces_have_tokens_of_their_own(client: Any, settings: MakeSettings, emulator: Emulator) -> None:
    """The token of one business space is not used for another."""
    emulator.beebot.add_robot("chatbot-cn-two", agent_key="k1")
    await ask(client, settings())
    await ask(client, settings(agent_key="k1"), instance_id="chatbot-cn-two")
    assert [received.query for received in emulator.requests if received.path == "/"] == [{}, {"AgentKey": "k1"}]


def test_single_flight_in_threads(settings: MakeSettings, emulator: Emulator) -> None:
    """Twenty threads that start at once ask for one token."""

    def work(number: int) -> str:
        with Client(settings()) as client:
            call = client.run(open_chat(request(f"我叫小{number}"), settings()))
            return "".join(delta.text for delta in client.stream(call))

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(work, range(20)))
    assert [answer.partition("，")[0] for answer in answers] == [f"小{number}" for number in range(20)]
    assert asked(emulator).count("token") == 1


async def test_single_flight_in_tasks(settings: MakeSettings, emulator: Emulator) -> None:
    """Twenty tasks that start at once ask for one token."""
    async with AsyncClient(settings()) as client:
        await asyncio.gather(*(ask(client, settings()) for _ in range(20)))
    assert asked(emulator).count("token") == 1
    assert asked(emulator).count("chat") == 20


def test_loops_one_after_another(settings: MakeSettings, emulator: Emulator) -> None:
    """The token outlives the loop in which it was fetched."""

    async def once() -> None:
        async with AsyncClient(settings()) as client:
            await ask(client, settings())

    asyncio.run(once())
    asyncio.run(once())
    assert asked(emulator) == ["token", "chat", "chat"]


async def test_refreshed_before_it_runs_out(
    client: Any, settings: MakeSettings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is used for 6600 of its 7200 seconds."""
    now = time.monotonic()
    monkeypatch.setattr(stream.time, "monotonic", lambda: now)
    await ask(client, settings())
    now += 6599
    await ask(client, settings())
    now += 2
    await ask(client, settings())
    assert asked(emulator) == ["token", "chat", "chat", "token", "chat"]


async def test_trap_9_age_counts_from_before_the_request(
    client: Any, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time the answer took is part of the token's age: the service may have begun to count at once."""
    times = iter([100.0, 105.0, 190.0])
    monkeypatch.setattr(stream.time, "monotonic", lambda: next(times, 190.0))
    found = await client.send(token(settings()))
    assert found.born == 100.0


async def test_a_failing_token_call_leaves_nothing(client: Any, settings: MakeSettings, emulator: Emulator) -> None:
    """After a refusal the next question asks again; nobody waits for ever."""
    emulator.fail("status", code="Forbidden", path="/ApplyForStreamAccessToken")
    with pytest.raises(XingchenError, match="agent_key"):
        await ask(client, settings())
    assert await ask(client, settings())
    assert asked(emulator) == ["token", "token", "chat"]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
async def test_a_refused_token_is_replaced_once(
    client: Any, settings: MakeSettings, emulator: Emulator, status: int
) -> None:
    """A token the service has forgotten is replaced, under whatever status it says so; the caller notices nothing."""
    await ask(client, settings())
    emulator.beebot.forget_tokens()
    emulator.beebot.bad_url_status = status
    assert await ask(client, settings()) == "您好！请问有什么可以帮您？"
    assert asked(emulator) == ["token", "chat", "chat", "token", "chat"]
    messages = [received.json["messageId"] for received in emulator.requests if received.body]
    assert len(set(messages)) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_in_json(client: Any, settings: MakeSettings, emulator: Emulator, status: int) -> None:
    """A gateway may refuse the URL in JSON, by a code of its own: the status says enough."""
    emulator.fail("status", status=status, code="Denied")
    assert await ask(client, settings())
    assert asked(emulator) == ["token", "chat", "token", "chat"]


@pytest.mark.parametrize("code", ["AccessTokenExpired", "InvalidSign", "Unauthorized.Channel"])
async def test_an_event_that_speaks_of_the_token(
    client: Any, settings: MakeSettings, emulator: Emulator, code: str
) -> None:
    """The refusal may come as an event, by an unknown code that names what is wrong."""
    emulator.fail("error_event", code=code)
    assert await ask(client, settings())
    assert asked(emulator) == ["token", "chat", "token", "chat"]


@pytest.mark.parametrize("status", [200, 403])
async def test_refused_twice(client: Any, settings: MakeSettings, emulator: Emulator, status: int) -> None:
    """A second refusal is the caller's: it is not tried a third time."""
    emulator.fail("html", status=status, times=5)
    with pytest.raises(APIStatusError if status == 403 else APIResponseError):
        await ask(client, settings())
    assert asked(emulator) == ["token", "chat", "token", "chat"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "error_event", "code": "InvalidInstance.NotFound"}, NotFoundError),
        ({"kind": "error_event", "code": "Forbidden"}, XingchenError),
        ({"kind": "error_event", "code": "InvalidParameter"}, BadRequestError),
        ({"kind": "status", "code": "InvalidParameter"}, BadRequestError),
        ({"kind": "error_event", "status": 500}, InternalServerError),
        ({"kind": "html", "status": 502}, InternalServerError),
        ({"kind": "drop"}, APIConnectionError),
    ],
)
async def test_other_refusals_are_not_the_token_s(
    client: Any, settings: MakeSettings, emulator: Emulator, fault: dict[str, Any], error: type[XingchenError]
) -> None:
    """What another token would not mend is raised at once, and the token is kept."""
    emulator.fail(**fault)
    with pytest.raises(error):
        await ask(client, settings())
    await ask(client, settings())
    assert asked(emulator) == ["token", "chat", "chat"]


@pytest.mark.parametrize("kind", ["error_event", "silent_end", "cut"])
async def test_never_after_content(client: Any, settings: MakeSettings, emulator: Emulator, kind: Any) -> None:
    """Once the robot has spoken, nothing is asked again, not even when the error names the token."""
    emulator.reply(chunks=["一", "二", "三"], service="beebot")
    emulator.fail(kind, after=2, code="AccessTokenExpired")
    with pytest.raises(XingchenError) as caught:
        await ask(client, settings())
    assert caught.value.partial_text == "一二"
    assert asked(emulator) == ["token", "chat"]


async def test_a_broken_event_is_not_the_token_s(client: Any, settings: MakeSettings, emulator: Emulator) -> None:
    """Who sends events has taken the question: nothing is asked twice because one of them makes no sense."""
    emulator.beebot.reply(events=["no JSON"])
    with pytest.raises(APIResponseError, match="no JSON object"):
        await ask(client, settings())
    assert asked(emulator) == ["token", "chat"]


def test_one_of_many_replaces_a_refused_token(settings: MakeSettings, emulator: Emulator) -> None:
    """Many whose token was refused at the same moment ask for one new one."""
    with Client(settings()) as client:
        found = client.send(token(settings()))
        emulator.beebot.forget_tokens()
        assert client.send(token(settings())) is found

    def work(_: int) -> str:
        with Client(settings()) as client:
            call = client.run(open_chat(request(), settings()))
            return "".join(delta.text for delta in client.stream(call))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(work, range(8)))) == 1
    assert asked(emulator).count("token") == 2


def test_forgetting_what_is_replaced_already(settings: MakeSettings) -> None:
    """Who was refused with an old token does not drop the new one."""
    with Client(settings()) as client:
        old = client.send(token(settings()))
        forget_token(settings(), old)
        new = client.send(token(settings()))
        assert new is not old
        forget_token(settings(), old)
        assert client.send(token(settings())) is new


class Temporary:
    """Temporary keys of an account, renewed at every question, as the cloud's credentials client may do."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.given = 0

    def get_credential(self) -> Any:
        self.given += 1
        keys = {"access_key_id": f"STS.{self.given}", "access_key_secret": "s", "security_token": f"t{self.given}"}
        self._emulator.beebot.add_access_key(keys["access_key_id"], "s", security_token=keys["security_token"])
        return SimpleNamespace(**keys)


async def test_temporary_keys(client: Any, settings: MakeSettings, emulator: Emulator, connect: Any) -> None:
    """A pair with its security token signs, by arguments or through an object; the stream needs neither."""
    emulator.beebot.add_access_key("STS.a", "s", security_token="t")
    pair = {"access_key_id": "STS.a", "access_key_secret": "s", "security_token": "t"}
    direct = connect(emulator.url, BeebotSettings, **pair)
    assert await ask(direct, settings(**pair))
    credentials = Temporary(emulator)
    given = connect(emulator.url, BeebotSettings, credentials=credentials)
    made = settings(access_key_id=None, access_key_secret=None, credentials=credentials)
    assert await ask(given, made)
    await ask(given, made)
    assert credentials.given == 1
    assert asked(emulator) == ["token", "chat", "token", "chat", "chat"]
    assert not any(name in emulator.requests[-1].headers for name in ("authorization", "x-acs-security-token"))


async def test_a_refused_security_token(connect: Any, settings: MakeSettings, emulator: Emulator) -> None:
    """A temporary key whose time is over is an authentication error."""
    emulator.beebot.add_access_key("STS.a", "s", security_token="t", expires_in=-1)
    pair = {"access_key_id": "STS.a", "access_key_secret": "s", "security_token": "t"}
    with pytest.raises(AuthenticationError) as caught:
        await ask(connect(emulator.url, BeebotSettings, **pair), settings(**pair))
    assert caught.value.code == "InvalidSecurityToken.Expired"


def test_a_token_dies_with_its_credentials_object(settings: MakeSettings, emulator: Emulator) -> None:
    """Another object could get the same id: the token must not wait for it."""
    credentials = Temporary(emulator)
    made = settings(access_key_id=None, access_key_secret=None, credentials=credentials)
    with Client(made) as client:
        client.send(token(made))
    key = stream.token_key(made)
    assert key in stream._tokens
    del credentials, made, client
    gc.collect()
    assert key not in stream._tokens


async def test_tokens_that_ran_out_are_dropped(
    client: Any, settings: MakeSettings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that lives long with changing keys does not keep their tokens."""
    now = time.monotonic()
    monkeypatch.setattr(stream.time, "monotonic", lambda: now)
    await client.send(token(settings()))
    now += 7200
    await client.send(token(settings(agent_key="k1")))
    assert list(stream._tokens) == [stream.token_key(settings(agent_key="k1"))]
