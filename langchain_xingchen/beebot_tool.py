"""`BeebotTool`: a Beebot robot as a tool of an agent."""

from typing import Annotated, ClassVar

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools.base import ArgsSchema
from pydantic import SkipValidation

from langchain_xingchen._asking_tools import AskedQuestion, AskingTool
from langchain_xingchen._base import MODEL_CONFIG, XingchenChatModel
from langchain_xingchen.beebot import ChatBeebot
from xingchen_core.beebot import BeebotParameters, BeebotSettings


class BeebotTool(AskingTool, BeebotParameters, BeebotSettings):
    """Lets an agent ask a Beebot robot. The content is the answer, the artifact the whole `AIMessage`.

    ```python
    tool = BeebotTool(instance_id="chatbot-cn-...", description="Answers questions about invoices and returns.")
    create_agent("...", tools=[tool])
    ```

    The fields are those of `ChatBeebot`. The agent never chooses the session: each call is a conversation of its own
    unless `session_id` is given, or `session_id_from` reads it from the config of the run (one tool for many users).
    A session is one user's.

    Choices that the robot offers, and its wish to hand over to a human, are said in the content too, since the agent's
    model sees nothing else. The artifact has them as data (`additional_kwargs`).

    Errors are raised as they are. With `handle_tool_error=True` the agent's model gets their text instead.

    Attributes:
        session_id_from: Finds the session of each run.
    """

    model_config = MODEL_CONFIG

    model_class: ClassVar[type[XingchenChatModel]] = ChatBeebot

    name: str = "ask_beebot"
    description: str = "Ask the company's help desk robot a question and get its answer."
    args_schema: Annotated[ArgsSchema | None, SkipValidation()] = AskedQuestion

    def _shown(self, answer: AIMessage, config: RunnableConfig) -> str:
        """Return an answer with what matters beside it. Recommendations stand in the text already."""
        lines = [str(answer.text)]
        for at, choice in enumerate(answer.additional_kwargs.get("clarify_list", ()), 1):
            lines.append(f"{at}. {choice.get('Title', choice) if isinstance(choice, dict) else choice}")
        if answer.response_metadata.get("finish_reason") == "handover":
            lines.append("(The robot asks to hand over to a human.)")
        return "\n".join(line for line in lines if line)
