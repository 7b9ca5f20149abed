"""工作流应用：边生成边显示回答，同时看到每个节点走到了哪一步。

环境变量：DASHSCOPE_API_KEY、BAILIAN_WORKFLOW_ID；用本机的模拟器时还有 DASHSCOPE_BASE_URL。
"""

import os
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler

from langchain_xingchen import ChatBailianApp

STATUS = {"executing": "进行中", "success": "完成", "fail": "失败"}


class Progress(BaseCallbackHandler):
    """节点的消息以自定义事件的形式到达；同一个状态只显示一次。"""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """显示一个节点的新状态；最后的节点说的就是回答，不必再报。"""
        step = (data["node_id"], data["node_status"])
        if name == "bailian_workflow_message" and data["node_type"] != "End" and step not in self.seen:
            self.seen.add(step)
            print(f"（{data['node_name']}：{STATUS.get(data['node_status'], '……')}）")


with ChatBailianApp(
    app_id=os.environ["BAILIAN_WORKFLOW_ID"],
    flow_stream_mode="message_format_plus",  # 不只是最后的节点，所有节点都说话
    biz_params={"city": "杭州"},  # 开始节点的自定义变量
) as app:
    question = "这个周末适合去哪里玩？"
    print(f"用户：{question}")
    answer: Any = None
    for chunk in app.stream(question, {"callbacks": [Progress()]}):
        print(chunk.text, end="", flush=True)
        answer = chunk if answer is None else answer + chunk
    print("\n\n各节点的结果：")
    for node in answer.additional_kwargs.get("workflow_nodes", []):
        print(f"- {node['node_name']}：{node['result']}")
