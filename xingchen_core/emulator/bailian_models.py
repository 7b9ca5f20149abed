"""The two native routes to models: prompts read from them, completions written to them."""

from collections.abc import Generator
from itertools import zip_longest
from typing import Any

from xingchen_core.emulator import bailian_texts as texts
from xingchen_core.emulator._wire import Answer, Event, EventStream
from xingchen_core.emulator.bailian_brain import Completion, think
from xingchen_core.emulator.bailian_call import Call, Responder, result
from xingchen_core.emulator.bailian_errors import invalid
from xingchen_core.emulator.bailian_prompts import WRONG_URL, read_prompt
from xingchen_core.emulator.bailian_steps import Step, steps
from xingchen_core.emulator.bailian_usage import logprobs, usage_of


def no_such_url(call: Call) -> Answer:
    """Any other path below `/services/aigc/`."""
    raise invalid(WRONG_URL)


def responder(*, multimodal: bool) -> Responder:
    """Answers prompts on one of the two paths."""

    def respond(call: Call) -> Answer | EventStream:
        prompt = read_prompt(call, multimodal=multimodal)
        reply, fault = call.take_turn(prompt.said)
        call.bailian.prompts.append(call.body)
        completion = think(call.bailian, prompt, reply)
        if call.streaming:
            return call.stream(_Stream(call, completion, multimodal).events(), fault)
        return call.answer(_whole(call, completion, multimodal), fault)

    return respond


def _whole(call: Call, completion: Completion, multimodal: bool) -> dict[str, Any]:
    first = completion.choices[0]
    if completion.prompt.parameters.get("result_format") == "text":
        output: dict[str, Any] = {"finish_reason": first.finish_reason, "text": first.text}
    else:
        output = {"choices": [_choice(completion, at, multimodal) for at in range(len(completion.choices))]}
        if call.bailian.fragments.null_text:
            output |= {"text": None, "finish_reason": None}
    if completion.search_results is not None and _shows_sources(completion):
        output["search_info"] = _search_info(completion.search_results)
    output |= completion.script.body or {}
    spent = sum(choice.tokens for choice in completion.choices)
    usage = usage_of(completion, spent, sum(texts.tokens(choice.reasoning) for choice in completion.choices))
    return {"output": output, "usage": usage, "request_id": call.request_id}


def _choice(completion: Completion, at: int, multimodal: bool) -> dict[str, Any]:
    choice = completion.choices[at]
    message: dict[str, Any] = {"role": "assistant", "content": _content(choice.text, multimodal)}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [
            {
                "function": {"name": called["name"], "arguments": called["arguments"]},
                "index": index,
                "id": called["id"],
                "type": "function",
            }
            for index, called in enumerate(choice.tool_calls)
        ]
    made: dict[str, Any] = {"finish_reason": choice.finish_reason, "message": message}
    if len(completion.choices) > 1:
        made["index"] = at
    if completion.prompt.parameters.get("logprobs"):
        made["logprobs"] = logprobs(completion, choice.pieces)
    return made


def _content(text: str, multimodal: bool) -> Any:
    if multimodal:
        return [{"text": text}] if text else []
    return text


def _shows_sources(completion: Completion) -> bool:
    options = completion.prompt.parameters.get("search_options") or {}
    return bool(options.get("enable_source")) or completion.script.references is not None


def _search_info(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {"search_results": results, "extra_tool_info": []}


class _Stream:
    """One completion as events."""

    def __init__(self, call: Call, completion: Completion, multimodal: bool) -> None:
        self.call, self.completion, self.multimodal = call, completion, multimodal
        self.fragments = call.bailian.fragments
        self.parameters = completion.prompt.parameters
        self.incremental = bool(self.parameters.get("incremental_output"))
        self.number = 0

    def events(self) -> Generator[Event, None, None]:
        if self.completion.script.events is not None:
            for number, data in enumerate(self.completion.script.events, 1):
                yield result(data, number)
            return
        options = self.parameters.get("search_options") or {}
        if self.completion.search_results is not None and options.get("prepend_search_result"):
            opening = {"message": {"content": _content("", self.multimodal), "role": "assistant"}}
            yield self._event([{**opening, "finish_reason": "null"}], {})
        tracks = [steps(choice, self.fragments, self.parameters) for choice in self.completion.choices]
        shown = [_Shown() for _ in tracks]
        for row in zip_longest(*tracks):
            choices = []
            for at, step in enumerate(row):
                if step is None:
                    continue
                choices.append(self._choice(at, step, shown[at]))
            thought = sum(texts.tokens(each.reasoning) for each in shown)
            usage = usage_of(self.completion, sum(each.tokens for each in shown), thought)
            yield self._event(choices, {} if self.number == 0 and self.fragments.empty_usage_first else usage)

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any]) -> Event:
        self.number += 1
        output: dict[str, Any]
        if self.parameters.get("result_format") == "text":
            message = choices[0]["message"]
            output = {"finish_reason": choices[0]["finish_reason"], "text": message["content"]}
        else:
            output = {"choices": choices}
            if self.fragments.null_text:
                output |= {"text": None, "finish_reason": None}
        if self.completion.search_results is not None and _shows_sources(self.completion):
            # The sources come once; later events repeat the lists, empty.
            output["search_info"] = _search_info(self.completion.search_results if self.number == 1 else [])
        return result({"output": output, "usage": usage, "request_id": self.call.request_id}, self.number)

    def _choice(self, at: int, step: Step, shown: "_Shown") -> dict[str, Any]:
        shown.add(step)
        text = step.text if self.incremental else shown.text
        reasoning = step.reasoning if self.incremental else shown.reasoning
        message: dict[str, Any] = {"content": _content(text, self.multimodal), "role": "assistant"}
        if self.completion.choices[at].reasoning and (reasoning or not self.multimodal):
            message["reasoning_content"] = reasoning
        tool_calls = step.tool_calls if self.incremental else shown.calls()
        if tool_calls:
            message["tool_calls"] = tool_calls
        made: dict[str, Any] = {"message": message, "finish_reason": step.finish_reason or "null"}
        if len(self.completion.choices) > 1 or self.completion.prompt.tools:
            made["index"] = at
        if self.parameters.get("logprobs") and step.text:
            made["logprobs"] = logprobs(self.completion, [step.text])
        return made


class _Shown:
    """All a choice has shown so far."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, step: Step) -> None:
        self.text += step.text
        self.reasoning += step.reasoning
        for fragment in step.tool_calls:
            known = self._calls.setdefault(fragment["index"], {**fragment, "function": {"arguments": ""}})
            function = known["function"]
            function["name"] = fragment["function"].get("name", function.get("name"))
            function["arguments"] += fragment["function"]["arguments"]

    @property
    def tokens(self) -> int:
        functions = [called["function"] for called in self._calls.values()]
        return texts.tokens(self.text) + sum(texts.tokens(each["name"] + each["arguments"]) for each in functions)

    def calls(self) -> list[dict[str, Any]]:
        return [{**called, "function": dict(called["function"])} for called in self._calls.values()]
