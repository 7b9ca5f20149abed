"""边想边看：思考过程和回答分开显示，最后看看思考花了多少 token；同一个模型，不思考也能用。

环境变量：DASHSCOPE_API_KEY；用本机的模拟器时还有 DASHSCOPE_BASE_URL。
"""

from langchain_core.messages import AIMessageChunk

from langchain_xingchen import ChatBailian

QUESTION = "一根绳子对折三次后剪一刀，会得到几段？"

with ChatBailian(model="qwen-plus", enable_thinking=True, thinking_budget=2000) as model:
    total, shown = AIMessageChunk(""), ""
    for chunk in model.stream(QUESTION):
        total += chunk
        for block in chunk.content_blocks:
            if block["type"] in ("reasoning", "text"):
                if block["type"] != shown:
                    shown = block["type"]
                    print("\n【思考】" if shown == "reasoning" else "\n【回答】", end="")
                print(block.get(shown), end="", flush=True)

    usage = total.usage_metadata
    assert usage is not None
    print(f"\n\n共输出 {usage['output_tokens']} 个 token，其中思考 {usage['output_token_details']['reasoning']} 个")

    quick = model.invoke(QUESTION, enable_thinking=False)  # 只影响这一次
    print(f"不思考时：{[block['type'] for block in quick.content_blocks]}")
