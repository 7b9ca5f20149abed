"""从一段话里提取结构化的信息：默认的函数调用、JSON 模式、原文与解析结果并列，以及做不到时提前报错。

环境变量：DASHSCOPE_API_KEY；用本机的模拟器时还有 DASHSCOPE_BASE_URL。
"""

import json

from pydantic import BaseModel, Field

from langchain_xingchen import ChatBailian
from xingchen_core import UnsupportedOperationError


class Order(BaseModel):
    """一份外卖订单。"""

    dish: str = Field(description="菜名")
    count: int = Field(description="份数")
    city: str = Field(description="送到哪个城市")


TEXT = "帮我点 2 份西湖醋鱼，送到杭州。"

with ChatBailian(model="qwen-plus") as model:
    order = model.with_structured_output(Order).invoke(TEXT)
    print(f"函数调用：{order!r}")

    # JSON 模式不保证有哪些键：要在提示词里说清楚，并且必须出现“json”这个词
    prompt = f"{TEXT}\n按这个 JSON Schema 输出订单：{json.dumps(Order.model_json_schema(), ensure_ascii=False)}"
    print(f"JSON 模式：{model.with_structured_output(Order, method='json_mode').invoke(prompt)!r}")

    both = model.with_structured_output(Order, include_raw=True).invoke(TEXT)
    tokens = both["raw"].usage_metadata["total_tokens"]
    print(f"解析结果：{both['parsed'].count} 份，解析错误：{both['parsing_error']}，用了 {tokens} 个 token")

    try:
        model.with_structured_output(Order, method="json_schema")
    except UnsupportedOperationError as error:
        print(f"发送之前就知道不行：{error}")

with ChatBailian(model="qwen3.7-plus") as newer:  # 这一系列支持 JSON Schema，于是默认就用它
    print(f"JSON Schema：{newer.with_structured_output(Order).invoke(TEXT)!r}")
