"""`POST /compatible-mode/v1/chat/completions`: models as OpenAI's clients call them."""

from xingchen_core.emulator._wire import Answer, EventStream
from xingchen_core.emulator.bailian_call import Call
from xingchen_core.emulator.bailian_errors import invalid


def respond(call: Call) -> Answer | EventStream:
    """Answers a prompt."""
    raise invalid("not yet")
