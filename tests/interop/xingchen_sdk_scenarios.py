"""Runs one scenario with the vendor's SDK and prints what the SDK made of it, as JSON.

`python xingchen_sdk_scenarios.py <scenario> <url> [<key>]`, in an interpreter that has xingchen 1.1.5 (and can have
neither this project nor pydantic 2).
"""

import json
import sys
from typing import Any

from xingchen import (
    ApiClient,
    CharacterApiSub,
    CharacterCreateDTO,
    CharacterKey,
    CharacterPermissionConfig,
    CharacterQueryDTO,
    CharacterQueryWhere,
    CharacterUpdateDTO,
    ChatApiSub,
    ChatContext,
    ChatHistoryQueryDTO,
    ChatHistoryQueryWhere,
    ChatMessageApiSub,
    ChatReqParams,
    Configuration,
    Message,
    ModelParameters,
    ResetChatHistoryRequest,
    SysReminderRequest,
    UserProfile,
)
from xingchen.api.completion_api_sub import AcACompletionApiSub
from xingchen.api.knowledge_base_api_sub import KnowledgeBaseApiSub
from xingchen.exceptions import ApiException
from xingchen.models.custom.completion.completion_req import AcACompletionReq
from xingchen.models.knowledge_base_create_dto import KnowledgeBaseCreateDTO
from xingchen.models.knowledge_base_query_dto import KnowledgeBaseQueryDTO
from xingchen.models.message_rating_request import MessageRatingRequest


def question(text: str, character: str = "demo", *, pieces: bool = False, **members: Any) -> ChatReqParams:
    """Return a chat request of user u1."""
    return ChatReqParams(
        bot_profile=CharacterKey(character_id=character),
        model_parameters=ModelParameters(seed=42, incrementalOutput=pieces),
        messages=[Message(name="小明", role="user", content=text)],
        user_profile=UserProfile(user_id="u1", user_name="小明"),
        **members,
    )


def told(response: Any) -> dict[str, Any]:
    """Return what the SDK understood of an answer."""
    data = response.data
    return {
        "success": response.success,
        "code": response.code,
        "error_code": response.error_code,
        "error_name": response.error_name,
        "error_message_key": response.error_message_key,
        "contents": [choice.messages[0].content for choice in data.choices] if data and data.choices else None,
        "stop_reason": data.choices[0].stop_reason if data and data.choices else None,
        "output_tokens": data.usage.output_tokens if data and data.usage else None,
        "is_save": data.context.is_save if data and data.context else None,
    }


def histories(client: ApiClient) -> list[dict[str, Any]]:
    """Return the history of u1 and demo, newest first."""
    query = ChatHistoryQueryDTO(
        where=ChatHistoryQueryWhere(character_id="demo", biz_user_id="u1", start_time=1_600_000_000_000),
        order_by=["gmtCreate desc"],
        page_num=1,
        page_size=10,
    )
    found = ChatMessageApiSub(client).chat_histories(chat_history_query_dto=query)
    return [
        {
            "content": row.content,
            "type": row.message_type,
            "rating": row.rating,
            "user": row.message_issuer.biz_user_id,
            "session": row.session_id,
        }
        for row in found.data.list
    ]


def sync(client: ApiClient) -> Any:
    """One question, then one about it: platform history is on by default."""
    api = ChatApiSub(client)
    return [told(api.chat(question(text))) for text in ("你多大了", "我刚才说了什么？")]


def several(client: ApiClient) -> Any:
    """Two answers at once."""
    context = ChatContext(use_chat_history=False, result_count=2)
    return told(ChatApiSub(client).chat(question("你好", context=context)))


def stream_whole(client: ApiClient) -> Any:
    """A stream of all text so far."""
    return [told(each) for each in ChatApiSub(client).chat(question("你好", streaming=True))]


def stream_pieces(client: ApiClient) -> Any:
    """A stream of new pieces."""
    return [told(each) for each in ChatApiSub(client).chat(question("你好", pieces=True, streaming=True))]


def history(client: ApiClient) -> Any:
    """A chat, a reminder and a rating, read back."""
    answered = ChatApiSub(client).chat(question("你好"))
    messages = ChatMessageApiSub(client)
    rated = messages.rate_message(MessageRatingRequest(message_id=answered.data.context.message_id, rating=4))
    reminder = SysReminderRequest(character_id="demo", biz_user_id="u1", content="好久不见")
    reminded = messages.sys_reminder(reminder)
    return {"rated": rated.data, "reminded": reminded.data, "rows": histories(client)}


def reset(client: ApiClient) -> Any:
    """A reset between two chats."""
    ChatApiSub(client).chat(question("秘密"))
    request = ResetChatHistoryRequest(character_id="demo", user_id="u1")
    done = ChatMessageApiSub(client).reset_chat_history(request)
    after = told(ChatApiSub(client).chat(question("我刚才说了什么？")))
    return {"done": done.data, "contents": after["contents"], "sessions": [row["session"] for row in histories(client)]}


def characters(client: ApiClient) -> Any:
    """Create, read, change, find and delete a character."""
    api = CharacterApiSub(client)
    fields = {
        "name": "关云长",
        "basic_information": "你是关云长",
        "opening_line": "吾乃关云长",
        "type": "virtual",
        "perm_config": CharacterPermissionConfig(is_public=0, allow_chat=0, allow_api=0),
    }
    key = api.create(character_create_dto=CharacterCreateDTO(**fields)).data
    details = api.character_details(character_id=key.character_id).data
    changed = {**fields, "name": "关羽"}
    updated = api.update(CharacterUpdateDTO(character_id=key.character_id, version=1, **changed)).data
    query = CharacterQueryDTO(
        where=CharacterQueryWhere(scope="my"), order_by=["gmtModified desc"], page_num=1, page_size=10
    )
    found = api.search(character_query_dto=query).data
    versions = api.list_character_versions(character_id=key.character_id).data
    deleted = api.delete(character_id=key.character_id).data
    return {
        "version": key.version,
        "details": [details.character_id == key.character_id, details.name, details.opening_line],
        "updated": updated,
        "found": [found.total, [row.name for row in found.list]],
        "versions": [row.version for row in versions],
        "deleted": deleted,
        "left": api.search(character_query_dto=query).data.total,
    }


def completions(client: ApiClient) -> Any:
    """The model interface, at once and streamed."""
    api = AcACompletionApiSub(client)
    messages = [{"role": "user", "content": "你好"}]
    whole = api.completions(AcACompletionReq(model="xingchen-plus-v2", messages=messages, user="u1"))
    chunks = api.completions(AcACompletionReq(model="xingchen-plus-v2", messages=messages, user="u1", stream=True))
    return {
        "whole": [whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.total_tokens > 0],
        "pieces": [chunk.choices[0].message.content for chunk in chunks],
    }


def knowledge(client: ApiClient) -> Any:
    """A knowledge base made and found."""
    api = KnowledgeBaseApiSub(client)
    made = api.create(KnowledgeBaseCreateDTO(name="常见问题", description="店铺")).data
    found = api.search(KnowledgeBaseQueryDTO(page_num=1, page_size=10)).data
    return [made.name, [row.knowledge_base_id == made.knowledge_base_id for row in found.list]]


def failing(client: ApiClient) -> Any:
    """What comes out of a call that is refused: an answer that says so, or an exception with the body."""
    try:
        return told(ChatApiSub(client).chat(question("你好")))
    except ApiException as error:
        body = json.loads(error.body)
        names = ("success", "code", "errorCode", "errorName", "errorMessageKey")
        return {"status": error.status, **{name: body.get(name) for name in names}}


def failing_stream(client: ApiClient) -> Any:
    """The items of a stream that goes wrong."""
    return [told(each) for each in ChatApiSub(client).chat(question("你好", pieces=True, streaming=True))]


def main(scenario: str, url: str, key: str = "test-key") -> None:
    """Run the scenario of that name."""
    configuration = Configuration(host=url)
    configuration.access_token = key
    with ApiClient(configuration) as client:
        sys.stdout.write(json.dumps(globals()[scenario](client)))


if __name__ == "__main__":
    main(*sys.argv[1:])
