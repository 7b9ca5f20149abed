"""把一个文件夹建成知识库，带进度条；文件改了再运行一次，同名的旧文件就被换掉。进度条需要 tqdm。

用法：python knowledge_base_from_folder.py [文件夹]；不给文件夹就用几份样例文件。
环境变量：DASHSCOPE_API_KEY、DASHSCOPE_WORKSPACE_ID（默认空间可以不设）；用本机的模拟器时还有 DASHSCOPE_BASE_URL。
"""

import sys
import tempfile
from pathlib import Path

from langchain_xingchen import BailianIndex
from xingchen_core.bailian.knowledge import DocumentsFailedError

NAME = "售后手册"
SAMPLES = {
    "退换货.md": "# 退货\n\n收到商品七天内可以无理由退货。\n\n# 换货\n\n十五天内可以换货一次。",
    "运费/价目.md": "# 运费\n\n退货的运费由买家承担，质量问题除外。",
    "运费/偏远地区.txt": "新疆、西藏的运费另加十元。",
}


def fill(index: BailianIndex, folder: Path) -> None:
    """把文件夹里的文件都放进知识库；编号是相对路径，所以再放一次就是更新。"""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    ids = [path.relative_to(folder).as_posix() for path in files]
    try:
        index.add_files(files, ids=ids)  # PDF、Word、表格、图片都原样上传，由平台解析
    except DocumentsFailedError as error:
        print(f"有 {len(error.failed)} 份没有进去：{error}")


def samples(folder: Path) -> Path:
    """写几份样例文件。"""
    for name, text in SAMPLES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


# 没有叫这个名字的知识库就新建；文件上传、解析、入库各有一条进度条
index = BailianIndex(index_name=NAME, create_if_missing=True, delete_files=True, show_progress=True)
with tempfile.TemporaryDirectory() as temporary:
    folder = Path(sys.argv[1]) if sys.argv[1:] else samples(Path(temporary))
    fill(index, folder)
    print(f"《{NAME}》里有：{'、'.join(sorted(each.name for each in index.list_documents()))}")
    if not sys.argv[1:]:
        (folder / "退换货.md").write_text("# 退货\n\n收到商品十五天内可以无理由退货。", "utf-8")
        fill(index, folder)  # 第二次：换掉旧的
        print(f"更新后还是 {len(index.list_documents())} 份")

question = "几天内可以无理由退货？"
for found in index.as_retriever(k=1).invoke(question):
    print(f"问：{question}\n{found.page_content}（{found.metadata['document_name']}，{found.metadata['score']:.2f}）")
index.close()
