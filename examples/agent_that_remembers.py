"""记得住用户的智能体：第一个进程里说过的喜好，第二个进程、另一段对话里还记得。长期记忆在百炼上。需要 `[agents]`。

环境变量：DASHSCOPE_API_KEY；用本机的模拟器时还有 DASHSCOPE_BASE_URL。
"""

import subprocess
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig

from langchain_xingchen import BailianMemoryRetriever, ChatBailian
from langchain_xingchen.middleware import BailianMemoryMiddleware

USER = "u-remembers"


def user_of(config: RunnableConfig) -> str:
    """谁的记忆由运行时的配置决定，模型说了不算。"""
    user_id: str = config["configurable"]["user_id"]
    return user_id


memory = BailianMemoryMiddleware(user_of)
model = ChatBailian(model="qwen-plus")
agent = create_agent(model, [], system_prompt="你是体贴的助手。", middleware=[memory])


def say(text: str) -> None:
    """说一句，听一句。回答之后，这一轮在后台存进长期记忆。"""
    said: Any = {"messages": [("human", text)]}
    state = agent.invoke(said, {"configurable": {"user_id": USER}})
    print(f"用户：{text}\n助手：{state['messages'][-1].text}")


def first() -> None:
    """第一个进程：用户说了自己的喜好。"""
    say("我喜欢喝茶，不喝咖啡。")
    memory.flush()  # 示例里等它存好（大约半分钟）；平时不用等


def second() -> None:
    """第二个进程：新的对话，助手想得起来。"""
    with BailianMemoryRetriever(user_id=USER, min_score=0) as recall:
        print(f"（记得：{'；'.join(found.page_content for found in recall.invoke('喜欢喝什么'))}）")
    say("我喜欢喝什么来着？推荐一杯。")


which = second if sys.argv[1:] == ["second"] else first
which()
memory.close()
model.close()
if which is first:
    sys.exit(subprocess.run([sys.executable, __file__, "second"], check=False).returncode)
