"""`BailianToolSpec`: what an agent can do with Bailian."""

from typing import Annotated, ClassVar

from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE

from llama_index_xingchen._tool_specs import DocumentedToolSpec
from xingchen_core import ChatReply, Flow, Message
from xingchen_core.bailian import AppParameters, AppRequest, BailianSettings, apps
from xingchen_core.bailian.references import with_sources

Question = Annotated[str, "The question, complete in itself, in the user's language."]


class BailianToolSpec(BailianSettings, AppParameters, DocumentedToolSpec):
    """Tools for agents: ask an application on Bailian (百炼).

    ```python
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index_xingchen import BailianToolSpec

    tools = BailianToolSpec(app_id="...").to_tool_list()
    agent = FunctionAgent(llm=llm, tools=tools)  # any model that can call functions
    ```

    The fields are those of `BailianApp`. Which application is asked, and for whom, is never the agent's choice: each
    question is a conversation of its own unless `session_id` is given, which is one user's.

    Raises:
        ConfigurationError: No key at construction; in a tool, no `app_id`.
        APIStatusError, APIConnectionError, ...: See `xingchen_core`. Agents hand the text of an error to their model.

    Source: Model Studio, "application API reference", `POST /api/v1/apps/{app_id}/completion`.
    """

    spec_functions: ClassVar[list[SPEC_FUNCTION_TYPE]] = [("ask_app", "aask_app")]  # type: ignore[misc]  # a constant of the class there too

    def ask_app(self, question: Question) -> str:
        """Ask the application and return its answer, with the titles of its sources. It knows nothing of this talk."""
        return self.client().run(self._ask(question))

    async def aask_app(self, question: Question) -> str:
        """As `ask_app`."""
        return await self.async_client().run(self._ask(question))

    def _ask(self, question: str) -> Flow[str]:
        fields = {name: getattr(self, name) for name in AppParameters.model_fields}
        request = AppRequest(**fields, messages=[Message(role="user", content=question)])
        reply: ChatReply = yield apps.complete(request, self.workspace_id)
        [answer] = reply.answers
        return with_sources(answer.text, answer.additional.get("citations", ()))
