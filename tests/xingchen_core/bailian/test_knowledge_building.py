"""What fills a knowledge base: how documents are known by the names of their files, and what is deleted together."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from xingchen_core import APIResponseError, APITimeoutError, Call, Flow, NotFoundError, Pause, Work
from xingchen_core._call import Page
from xingchen_core.bailian.knowledge import DocumentStatus, FileInfo, IndexJob, JobStatus, Lease
from xingchen_core.bailian.knowledge_building import Building, NewFile, find_all, removal

ID = "kbfake0001"


class Service:
    """Answers a flow's calls, by the ends of their paths, and notes them. Answers are what the calls would parse."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, Any]] = []

    def run(self, flow: Flow[Any]) -> Any:
        """Carry a flow out; pauses take no time."""
        answer: Any = None
        failure: Exception | None = None
        try:
            while True:
                step = flow.send(answer) if failure is None else flow.throw(failure)
                answer = failure = None
                if isinstance(step, Work):
                    try:
                        answer = step.do()
                    except OSError as error:  # as clients do
                        failure = error
                elif isinstance(step, Call):
                    name = step.path.rpartition("/")[2]
                    self.calls.append((name, step.json))
                    answer = self.answers[name]
                    answer = answer(step.json) if callable(answer) else answer
                    if isinstance(answer, Exception):
                        failure = answer
                else:
                    assert isinstance(step, Pause)
        except StopIteration as done:
            return done.value


def listed(*documents: tuple[str, str], **more: str) -> dict[str, Any]:
    """The answer of a list of documents: ids and names."""
    return {"files": Page(tuple(DocumentStatus(id=id_, name=name, status="FINISH", **more) for id_, name in documents))}


def described(names: Mapping[str, str]) -> dict[str, Any]:
    """What the service says of single files."""
    return {"describeFile": lambda body: FileInfo(id=body["fileId"], name=names[body["fileId"]])}


@pytest.mark.parametrize(
    ("rows", "names", "found"),
    [
        ([("f1", "手册"), ("f2", "手册")], {"f1": "手册.pdf", "f2": "手册.docx"}, ("f1",)),
        ([("f1", "手册.pdf"), ("f2", "手册.docx")], {"f1": "手册.pdf"}, ("f1",)),
        ([("f1", "手册"), ("f2", "手册")], {"f1": "手册.pdf", "f2": "手册.pdf"}, ("f1", "f2")),
        ([("f1", "手册")], {"f1": "手册"}, ("f1",)),  # nobody tells extensions
        ([("f1", "手册")], {"f1": ""}, ("f1",)),
        ([("f1", "手册.pdf")], {"f1": "手册.pdf.txt"}, None),  # a text of this id, in a list without extensions
        ([("f1", "别的")], {}, None),
        ([("手册.pdf", "别的")], {}, ("手册.pdf",)),  # the service's own id
    ],
)
def test_known_by_name(
    rows: Sequence[tuple[str, str]], names: Mapping[str, str], found: tuple[str, ...] | None
) -> None:
    """Lists tell a name with its extension or without; only a file of the whole name is the one that is meant."""
    service = Service({**listed(*rows), **described(names)})
    expected = {} if found is None else {"手册.pdf": found}
    assert service.run(find_all({"手册.pdf": "手册.pdf"}, ID, signed_for=None)) == expected


def test_known_by_kind() -> None:
    """A list that tells the kind of a document saves the second look."""
    service = Service({**listed(("f1", "手册"), document_type="PDF"), **described({})})
    assert service.run(find_all({"手册.pdf": "手册.pdf"}, ID, signed_for=None)) == {"手册.pdf": ("f1",)}
    assert [name for name, _ in service.calls] == ["files"]


def test_known_though_its_file_is_gone() -> None:
    """A document whose file was deleted in the console can still be taken out."""
    gone = NotFoundError("no such file", status_code=404)
    service = Service({**listed(("f1", "手册")), "describeFile": gone})
    assert service.run(find_all({"手册.pdf": "手册.pdf"}, ID, signed_for=None)) == {"手册.pdf": ("f1",)}


def test_several_names_of_one() -> None:
    """An id may be that of a text or of a file; what is found twice is told once."""
    service = Service({**listed(("f1", "a.txt"), ("f2", "a")), **described({"f1": "a.txt", "f2": "a.md"})})
    assert service.run(find_all({"a": ("a.txt", "a.md", "a.txt")}, ID, signed_for=None)) == {"a": ("f1", "f2")}


def test_deleted_a_hundred_at_a_time() -> None:
    """All of them, with their files; those that were not deleted are told, and their files stay."""
    ids = [f"f{number}" for number in range(250)]
    service = Service(
        {"delete_file": lambda body: tuple(id_ for id_ in body["doc_ids"] if id_ != "f7"), "deleteFile": None}
    )
    with pytest.raises(APIResponseError, match=r"Not deleted: f7\."):
        service.run(removal(ID, ids, with_file=True, signed_for=None))
    sizes = [len(body["doc_ids"]) for name, body in service.calls if name == "delete_file"]
    assert sizes == [100, 100, 50]
    files = [body["fileId"] for name, body in service.calls if name == "deleteFile"]
    assert files == [id_ for id_ in ids if id_ != "f7"]


def test_nothing_to_delete() -> None:
    """Nothing is asked for."""
    service = Service({})
    service.run(removal(ID, [], with_file=True, signed_for=None))
    assert service.calls == []


def test_a_file_that_cannot_be_read(tmp_path: Any) -> None:
    """What was uploaded before it does not stay."""
    ids = iter(("f1", "f2"))
    service = Service({
        "applyFileUploadLease": lambda body: _lease(),
        "object?x=1": None,
        "addFile": lambda body: next(ids),
        "deleteFile": None,
    })  # fmt: skip
    files = [NewFile(id="a", name="a.txt", content=b"a"), NewFile(id="b", name="b.txt", content=tmp_path / "none.txt")]
    with pytest.raises(FileNotFoundError):
        service.run(Building().upload(files))
    assert service.calls[-1] == ("deleteFile", {"fileId": "f1"})


def _lease() -> Any:

    return Lease("lease1", "https://oss.example.invalid/object?x=1", "PUT", {})


def test_an_import_that_never_ends_keeps_its_files() -> None:
    """The service goes on with it: the error says what is not done, and nothing is deleted."""
    pending = DocumentStatus(id="f1", status="RUNNING")

    service = Service({"status": JobStatus(status="RUNNING", total=1, documents=(pending,))})
    job = IndexJob(index_id=ID, job_id="job1")
    with pytest.raises(APITimeoutError, match=r"a\.txt"):
        service.run(Building(wait_timeout=20).wait(job, {"f1": "a.txt"}))
    assert {name for name, _ in service.calls} == {"status"}
