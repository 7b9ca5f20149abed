"""知识库问答：用本地文档建一个知识库，再用查询引擎回答问题，并列出处。

需要环境变量 DASHSCOPE_API_KEY；没有密钥时可先启动 `python -m xingchen_core.emulator` 并设置 DASHSCOPE_BASE_URL。
"""

import tempfile
from pathlib import Path

from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from llama_index_xingchen import Bailian, BailianIndex

with tempfile.TemporaryDirectory() as folder:
    manual, prices = Path(folder) / "退换货手册.md", Path(folder) / "运费价目.md"
    manual.write_text("# 退货\n\n收到商品七天内可以无理由退货。\n\n# 换货\n\n十五天内可以换货一次。", "utf-8")
    prices.write_text("# 运费\n\n退货的运费由买家承担，质量问题除外。", "utf-8")

    # 文件原样上传（PDF、Word、图片也可以），标签以后能用来过滤。show_progress=True 显示进度
    index = BailianIndex.from_files([manual, prices], index_name="售后知识库", tags=["售后"])

print("文档：", sorted(document.name for document in index.list_documents()))

engine = index.as_query_engine(
    llm=Bailian(model="qwen-plus"),
    similarity_top_k=3,
    filters=MetadataFilters(filters=[MetadataFilter(key="tags", operator=FilterOperator.IN, value=["售后"])]),
)
for question in ("几天内可以无理由退货？", "退货的运费谁出？"):
    answer = engine.query(question)
    print(f"问：{question}\n答：{answer}")
    for source in answer.source_nodes[:1]:
        print(f"（出处：{source.metadata['document_name']} > {source.metadata['title']}，{source.score:.2f}）")

index.delete_index()  # 文件仍在数据中心；不删除知识库的话，下次可以直接用
index.close()
