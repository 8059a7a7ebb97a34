"""Keys, sealed secrets and signatures."""

from __future__ import annotations

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import RejectedError
from thalweg.sealed.box import SecretBox
from thalweg.sealed.keys import load_or_make_key
from thalweg.sealed.signatures import SigningKey, canonical_json, key_id_of, verify

KEY, OTHER = bytes(range(32)), bytes(32)


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_or_make_key(None, path), range(16)))
    assert len(keys) == 1 and len(keys.pop()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o601])
def test_a_key_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret.key"
    load_or_make_key(None, path)
    path.chmod(mode)
    with pytest.raises(RejectedError) as caught:
        load_or_make_key(None, path)
    assert caught.value.code == "key.exposed"


@pytest.mark.parametrize("given", ["", "c2hvcnQ=", "not base64", base64.b64encode(bytes(33)).decode()])
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, given: str) -> None:
    with pytest.raises(RejectedError) as caught:
        load_or_make_key(given, tmp_path / "unused")
    assert caught.value.code == "key.invalid"
    assert not given or given not in f"{caught.value} {caught.value.facts}"
    path = tmp_path / "secret.key"
    path.write_text(given)
    path.chmod(0o600)
    with pytest.raises(RejectedError):
        load_or_make_key(None, path)


def test_a_given_key_goes_before_the_file(tmp_path: Path) -> None:
    assert load_or_make_key(base64.b64encode(KEY).decode(), tmp_path / "unused") == KEY
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RejectedError) as caught:
        load_or_make_key(None, tmp_path / "file" / "secret.key")
    assert caught.value.code == "key.unreadable"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_secret_comes_back(value: str) -> None:
    stored = SecretBox(KEY).encrypt("default", "token", value)
    assert SecretBox(KEY).decrypt("default", "token", stored) == value
    assert stored != SecretBox(KEY).encrypt("default", "token", value)


def opening_fails(box: SecretBox, workspace: str, name: str, stored: bytes) -> str:
    with pytest.raises(RejectedError) as caught:
        box.decrypt(workspace, name, stored)
    assert "planted" not in f"{caught.value!r} {caught.value.facts} {caught.value.hint}"
    return caught.value.code


@given(st.data())
def test_a_changed_byte_or_a_cut_is_found(data: st.DataObject) -> None:
    stored = SecretBox(KEY).encrypt("default", "token", "planted")
    at, flip = data.draw(st.integers(0, len(stored) - 1)), data.draw(st.integers(1, 255))
    changed = bytes([*stored[:at], stored[at] ^ flip, *stored[at + 1 :]])
    assert opening_fails(SecretBox(KEY), "default", "token", changed) == ("secret.wrong_key" if 1 <= at < 9 else "secret.damaged")
    assert opening_fails(SecretBox(KEY), "default", "token", stored[:at]) == "secret.damaged"


@pytest.mark.parametrize(("workspace", "name"), [("other", "token"), ("default", "other"), ("defaul", "ttoken")])
def test_a_secret_does_not_open_under_another_name(workspace: str, name: str) -> None:
    stored = SecretBox(KEY).encrypt("default", "token", "planted")
    assert opening_fails(SecretBox(KEY), workspace, name, stored) == "secret.damaged"


def test_a_key_can_be_replaced_step_by_step() -> None:
    stored = SecretBox(OTHER).encrypt("default", "token", "planted")
    assert opening_fails(SecretBox(KEY), "default", "token", stored) == "secret.wrong_key"
    both = SecretBox(KEY, OTHER)
    assert both.decrypt("default", "token", stored) == "planted"
    assert not both.is_current(stored) and both.is_current(both.encrypt("default", "token", "planted"))


def test_keys_are_not_shown() -> None:
    for shown in (repr(SecretBox(KEY)), repr(SigningKey(KEY))):
        assert KEY.hex() not in shown and base64.b64encode(KEY).decode() not in shown and repr(KEY) not in shown


def test_a_signature_holds_for_its_bytes_and_key_only() -> None:
    key, data = SigningKey(KEY), canonical_json({"b": 1, "a": [None, "é"]})
    signature = key.sign(data)
    verify(key.public, data, signature)
    assert (key.key_id, key.public.startswith("ed25519:")) == (key_id_of(key.public), True)
    other = SigningKey(OTHER)
    for public, signed, text in [
        (other.public, data, signature),
        (key.public, data + b" ", signature),
        (key.public, data, other.sign(data)),
        (key.public, data, "x"),
    ]:
        with pytest.raises(RejectedError) as caught:
            verify(public, signed, text)
        assert caught.value.code == "signature.invalid"


@pytest.mark.parametrize("public", ["", "ed25519:", "ed25519:AAAA", "rsa:" + base64.b64encode(bytes(32)).decode()])
def test_what_is_no_public_key_is_refused(public: str) -> None:
    with pytest.raises(RejectedError) as caught:
        verify(public, b"", "")
    assert caught.value.code == "key.invalid"


def test_canonical_json_does_not_depend_on_order() -> None:
    assert canonical_json({"b": 1.5, "a": "é"}) == canonical_json({"a": "é", "b": 1.5}) == '{"a":"é","b":1.5}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {"a": {1}}])
def test_what_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(RejectedError) as caught:
        canonical_json(value)
    assert caught.value.code == "json.not_canonical"
