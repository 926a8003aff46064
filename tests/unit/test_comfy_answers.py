"""What the two APIs of Comfy Cloud say of jobs, and what is made of it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.comfy_answers import code_of, job_v1, job_v2, media_type, of_nodes, words
from bridge.comfy_dialects import V1, V2, signed, where
from bridge.errors import Transient
from bridge.model import Progress, Status
from bridge.outbound import Answer
from bridge.runs import File, Snapshot

KEY = "comfyui-0123456789abcdef"
BOTH = pytest.mark.parametrize("read", [job_v1, job_v2])


def _hide(text: str) -> str:
    return text.replace(KEY, "***")


def _answer(found: Any, status: int = 200, **more: Any) -> Answer:
    body = found if isinstance(found, bytes) else json.dumps(found).encode()
    return Answer(status=status, headers={}, body=body, **more)


def _v1(**job: Any) -> Snapshot:
    return job_v1(_answer({"id": "j", "status": "completed", **job}), _hide)


def _v2(**job: Any) -> Snapshot:
    return job_v2(_answer({"id": "j", "status": "succeeded", **job}), _hide)


def _references(seen: Snapshot) -> dict[str, Any]:
    return {name: json.loads(file.reference) for name, file in seen.outputs.items() if isinstance(file, File)}


# ----------------------------------------------------------------------------------------------------------- statuses

# Three vocabularies are published for one endpoint of v1; contracts.md, B.2.
PENDING = (
    "pending waiting_to_dispatch submitted queued_limited queued_waiting allocated preparing pending_execution queued"
)
RUNNING = (
    "in_progress executing executed erroring cancel_requested cancel_pending cancelling_preparing running canceling"
)
STATUSES = {
    **dict.fromkeys(PENDING.split(), Status.PENDING),
    **dict.fromkeys(RUNNING.split(), Status.RUNNING),
    **dict.fromkeys(["completed", "success", "succeeded", "SUCCESS"], Status.COMPLETED),
    **dict.fromkeys(["failed", "error", "non_retryable_error", "lost", "expired"], Status.FAILED),
    **dict.fromkeys(["cancelled", "canceled"], Status.CANCELLED),
}


@BOTH
@pytest.mark.parametrize(("said", "status"), STATUSES.items(), ids=STATUSES)
def test_every_published_word_is_one_of_ours(read, said, status):
    """Whichever of them the endpoint speaks today: a run that succeeded is never waited for without end."""
    seen = read(_answer({"status": said}), _hide)
    assert seen.status == status
    assert (seen.reason is None) == (status is not Status.FAILED)


@BOTH
@pytest.mark.parametrize("said", ["compacting", "x" * 10_000])
def test_any_other_word_means_that_the_run_goes_on(read, said):
    """Their own advice is to wait for a terminal word; that it is unknown is told."""
    seen = read(_answer({"status": said}), _hide)
    assert seen.status == Status.RUNNING
    assert "which nobody documents: taken as running" in (seen.reason or "")
    assert len(seen.reason or "") < 200


@BOTH
@pytest.mark.parametrize(
    "found", [b"", b"null", b"[]", {}, {"status": 7}, {"status": ""}, b'{"status": "runn', b"[" * 50_000]
)
def test_what_is_no_job_says_nothing_of_one(read, found):
    """It is asked for again."""
    with pytest.raises(Transient, match="not a job"):
        read(_answer(found), _hide)


@BOTH
def test_half_of_an_answer_is_not_believed(read):
    """It was longer than anybody reads."""
    with pytest.raises(Transient, match="too large"):
        read(_answer({"status": "completed"}, truncated=True), _hide)


# ------------------------------------------------------------------------------------------------------------ reasons

ERROR_V1 = {
    "node_id": "3",
    "node_type": "KSampler",
    "exception_type": "OOMError",
    "exception_message": "out of memory",
    "traceback": ["secret line"],
    "current_inputs": {"text": ["secret prompt"]},
    "current_outputs": {},
}
ERROR_V2 = {"code": "node_error", "message": "out of memory", "class_type": "KSampler", "traceback": "secret line"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ERROR_V1, "OOMError: out of memory (in KSampler)"),
        ({"exception_message": "no"}, "no"),
        ({"exception_type": "PanicError", "node_type": 7}, "PanicError"),
        ({"exception_message": f"bad key {KEY}"}, "bad key ***"),
        ({"node_type": "KSampler"}, "Comfy calls it 'failed', and names no reason"),
        ({}, "Comfy calls it 'failed', and names no reason"),
        (None, "Comfy calls it 'failed', and names no reason"),
        ("it broke", "it broke"),
        ([1, {"a": 2**70}], '[1,{"a":1180591620717411303424}]'),
    ],
)
def test_the_first_api_says_why_a_run_failed(error, reason):
    """By type, message and node; never with the traceback or the inputs, which show prompts and perhaps keys."""
    assert _v1(status="failed", execution_error=error).reason == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ERROR_V2, "node_error: out of memory (in KSampler)"),
        ({"message": f"no {KEY}"}, "no ***"),
        (None, "Comfy calls it 'failed', and names no reason"),
    ],
)
def test_the_second_api_says_why_a_run_failed(error, reason):
    """In its own words; never with the traceback."""
    assert _v2(status="failed", error=error).reason == reason


def test_a_reason_is_cut():
    """It may be as long as the answer."""
    reason = _v1(status="failed", execution_error={"exception_message": "x" * 5_000}).reason or ""
    assert len(reason) == 1_000
    assert reason.endswith("… (5,000 characters in all)")


def test_an_interrupted_run_that_is_called_completed_has_failed():
    """ComfyUI maps what it does not know to completed; the error beside it says otherwise."""
    assert _v1(execution_error=ERROR_V1).status == Status.FAILED
    for error in (None, {}, "text", {"exception_message": ""}):
        assert _v1(execution_error=error).status == Status.COMPLETED


# ------------------------------------------------------------------------------------------------------------ outputs


def test_every_file_of_every_list_is_an_output_of_the_first_api():
    """Images, video, audio and whatever else has a name; a node's second one has a number."""
    seen = _v1(
        outputs={
            "9": {
                "images": [
                    {"filename": "a.png", "subfolder": "x", "type": "output"},
                    {"filename": "b.jpg", "subfolder": "", "type": "output", "more": 1},
                ],
                "animated": [True, False],
            },
            "12": {"video": [{"filename": "c.mp4"}], "audio": [{"filename": "d.mp3", "subfolder": None}]},
            "9_2": {"3d": [{"filename": "e.unknownending"}]},
        }
    )
    assert {name: file.type for name, file in seen.outputs.items() if isinstance(file, File)} == {
        "9": "image/png",
        "9_2": "image/jpeg",
        "12": "video/mp4",
        "12_2": "audio/mpeg",
        "9_2_2": None,
    }
    assert _references(seen)["9"] == {"filename": "a.png", "subfolder": "x", "type": "output"}
    assert _references(seen)["12_2"] == {"filename": "d.mp3"}


def test_texts_are_outputs_of_the_first_api():
    """A node that shows text puts out a list of it; a long one is cut, and hides the key."""
    seen = _v1(outputs={"5": {"text": ["one", 7, f"two {KEY}"]}, "6": {"text": ["x" * 5_000]}, "7": {"text": []}})
    assert seen.outputs["5"] == "one\ntwo ***"
    assert len(str(seen.outputs["6"])) == 4_000
    assert list(seen.outputs) == ["5", "6"]


def test_a_list_of_booleans_is_no_output():
    """`animated` stands beside the images and says something of them."""
    assert _v1(outputs={"9": {"animated": [True]}}).outputs == {}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x.png", "/etc/shadow", "a?b=c#d", "..\\..\\x.png", "data:image/png,x"]
)
def test_a_files_name_is_only_ever_in_its_reference(name):
    """The server chose it: it is no name of an output, and asking for it cannot lead to another address."""
    seen = _v1(outputs={"9": {"images": [{"filename": name, "subfolder": "../..", "type": "output"}]}})
    [(output, file)] = seen.outputs.items()
    assert isinstance(file, File)
    assert output == "9"
    assert json.loads(file.reference)["filename"] == name
    api, path = where(file.reference)
    assert isinstance(api, V1)
    assert path.startswith("/api/view?filename=")
    assert not {"..", "\\", "#", " "} & set(path.partition("?")[0].split("/"))
    assert path.count("?") == 1
    assert "#" not in path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "image/png"), ("C:\\x\\a.webm", "video/webm"), ("../a.mp3", "audio/mpeg"), ("a.b/c", None), ("", None)],
)
def test_a_media_type_is_guessed_by_the_ending_alone(name, kind):
    """Whatever the path in front of it is, and of whichever system."""
    assert media_type(name) == kind


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp"])
def test_pictures_are_known_as_such_on_every_machine(kind):
    """Python alone calls WebP no standard type before 3.13."""
    assert media_type(f"a.{kind}") == f"image/{kind}"


def test_the_assets_of_the_second_api_are_outputs():
    """With the type and size it names; what has no id cannot be asked for."""
    seen = _v2(
        outputs=[
            {"node_id": "9", "id": "a/../1", "content_type": "image/png", "size_bytes": 7, "name": "../x.png"},
            {"node_id": "9", "id": "a2", "content_type": 7, "size_bytes": True},
            {"node_id": "9"},
            {"node_id": "9", "id": ""},
            {"id": "a3"},
            None,
            "text",
        ]
    )
    assert seen.outputs == {
        "9": File(reference='{"asset":"a/../1"}', type="image/png", size=7),
        "9_2": File(reference='{"asset":"a2"}'),
    }
    api, path = where('{"asset":"a/../1"}')
    assert isinstance(api, V2)
    assert path == "/api/v2/assets/a%2F..%2F1"


@pytest.mark.parametrize("status", ["pending", "in_progress", "cancel_requested"])
def test_while_it_runs_nothing_is_put_out_yet(status):
    """What stands there may still change."""
    assert _v1(status=status, outputs={"9": {"text": ["early"]}}).outputs == {}
    assert _v2(status=status, outputs=[{"node_id": "9", "id": "a"}]).outputs == {}


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ({"value": 0.4, "nodes_done": 2, "nodes_total": 5}, Progress(2, 5)),
        ({"nodes_done": 0, "nodes_total": 5}, Progress(0, 5)),
        ({"nodes_done": -1, "nodes_total": 5}, None),
        ({"nodes_done": 0, "nodes_total": 0}, None),
        ({"nodes_done": True, "nodes_total": 5}, None),
        ({"nodes_done": 2.0, "nodes_total": 5}, None),
        ({"value": 0.4}, None),
        (None, None),
        ([], None),
    ],
)
def test_the_second_api_tells_how_far_it_is(progress, expected):
    """In nodes; anything that is no count of them is none."""
    assert _v2(status="running", progress=progress).progress == expected


# -------------------------------------------------------------------------------------------------------------- words

NODE_V1 = {
    "class_type": "Loader",
    "errors": [{"type": "t", "message": "Not in list", "details": "ckpt: 'x' not in []"}],
}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"error": {"message": "invalid"}}, "Comfy: HTTP 400: invalid"),
        ({"error": "invalid", "node_errors": {}}, "Comfy: HTTP 400: invalid"),
        (
            {"error": {"message": "invalid"}, "node_errors": {"4": NODE_V1}},
            "Comfy: HTTP 400: invalid (node 4 Loader: Not in list: ckpt: 'x' not in [])",
        ),
        (
            {"error": {"message": "bad", "details": {"node_errors": {"4": [{"field": "ckpt", "reason": "missing"}]}}}},
            "Comfy: HTTP 400: bad (node 4: ckpt: missing)",
        ),
        ({"error": {"message": "bad", "details": {"hash": "x"}}}, "Comfy: HTTP 400: bad"),
        ({"code": "x", "message": f"the key {KEY}"}, "Comfy: HTTP 400: the key ***"),
        (b"<html>", "Comfy: HTTP 400 (an HTML page)"),
        (b"", "Comfy: HTTP 400"),
    ],
)
def test_a_refusal_is_told_with_what_is_wrong_with_which_node(found, said):
    """In the form of either API, without the key."""
    assert words(_answer(found, 400), _hide) == said


def test_what_is_told_of_nodes_is_one_short_line():
    """A loader's error lists every model there is, with line ends; of many nodes the first are named."""
    long = {"class_type": "L" * 500, "errors": [{"message": f"a\n\tb {KEY}", "details": "model.safetensors, " * 9_000}]}
    said = words(_answer({"error": "bad", "node_errors": {f"{n}{'9' * 500}": long for n in range(5)}}, 400), _hide)
    assert len(said) <= 1_000
    assert "\n" not in said
    assert "a b ***: model" in said
    assert of_nodes({str(n): NODE_V1 for n in range(5)}).endswith("; and 2 more")
    assert len(of_nodes({"1": long})) < 500


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, ""),
        ("text", ""),
        ([1], ""),
        ({}, ""),
        ({"4": None}, "node 4: "),
        ({"4": []}, "node 4: "),
        ({"4": [7]}, "node 4: "),
        ({"4": {"errors": [{"message": 7, "details": ""}]}}, "node 4: "),
    ],
)
def test_node_errors_may_be_anything(found, said):
    """What is not in one of the two forms says nothing, and does no harm."""
    assert of_nodes(found) == said


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({"error": {"code": "queue_full"}}, "queue_full"),
        ({"error": {"code": 7}}, ""),
        ({"error": "queue_full"}, ""),
        ({}, ""),
        (b"text", ""),
    ],
)
def test_the_second_apis_code_is_read_where_it_stands(found, code):
    """Nowhere else: a text may say anything."""
    assert code_of(_answer(found, 422)) == code


@pytest.mark.parametrize(
    ("status", "headers", "found", "url"),
    [
        (302, {"location": "https://s.example.com/x"}, {}, "https://s.example.com/x"),
        (307, {"location": "/x"}, {}, "/x"),
        (302, {}, {"url": "https://s.example.com/x"}, None),
        (200, {}, {"url": "https://s.example.com/x"}, "https://s.example.com/x"),
        (200, {"location": "https://s.example.com/x"}, {}, None),
        (200, {}, {"url": 7}, None),
        (404, {"location": "https://s.example.com/x"}, {"url": "https://s.example.com/x"}, None),
    ],
)
def test_where_a_file_is_stands_in_a_redirect_or_in_the_answer(status, headers, found, url):
    """As v1 or v2 tells it, and nowhere else."""
    assert signed(Answer(status=status, headers=headers, body=msgspec.json.encode(found))) == url


# ------------------------------------------------------------------------------------------------------------ garbage

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.sampled_from(["filename", "node_id", "id", "images", "errors", "message", "nodes_done", "code"]) | st.text()
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))
FIELDS = ["outputs", "execution_error", "error", "progress", "node_errors", "details"]
jobs = st.fixed_dictionaries(
    {"status": st.sampled_from([*STATUSES]) | anything}, optional=dict.fromkeys(FIELDS, anything)
)


@given(jobs | anything)
@example({"status": "completed", "outputs": {"9": {"images": [{"filename": "data:"}, {"filename": "\x00//"}]}}})
@example({"status": "failed", "execution_error": {"exception_message": 7}, "error": [2**100]})
def test_whatever_json_it_is_nothing_but_a_snapshot_or_no_answer_comes_of_it(found):
    """A look never ends in any other way, and every text in it is bounded; nor does wording an answer."""
    answer = _answer(found)
    for read in (job_v1, job_v2):
        try:
            seen = read(answer, _hide)
        except Transient:
            continue
        assert isinstance(seen, Snapshot)
        assert len(seen.reason or "") <= 1_000
        assert all(len(output) <= 4_000 for output in seen.outputs.values() if isinstance(output, str))
        for output in seen.outputs.values():
            if isinstance(output, File):
                assert where(output.reference)[1].startswith("/api/")
    assert 0 < len(words(answer, _hide)) <= 1_000
    assert isinstance(code_of(answer), str)
