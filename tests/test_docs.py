"""The documentation: its pages leave nothing out, and its examples run. `make docs` builds it."""

import base64
import doctest
import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from listing import assert_none

import pctheory
from docs import _claims, _gallery, _landscape, _reference, _tutorials
from docs.__main__ import needs_network, write
from experiments import hero_landscape
from experiments._progress import Progress
from figures._figure import Drawn
from figures._gallery import write_gallery
from pctheory.claims import Catalogue, Claim, claims
from pctheory.claims._claim import EVIDENCE
from pctheory.claims._tests import find_tests

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs" / "pages"
TESTS = find_tests()
ENTRY = re.compile(r"^\.\. (?:autofunction|autoclass|py:data):: pctheory\.(.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def reference():
    return _reference.pages()


@pytest.fixture(scope="module")
def film():
    return _landscape.film(frames=3, grid=9, config=hero_landscape.PROFILES["quick"])


# ---- the reference


def test_every_public_name_stands_once_in_the_reference(reference):
    shown = sorted(name for page in reference.values() for name in ENTRY.findall(page))
    packages = (package for group in _reference.PACKAGES.values() for package in group)
    public = sorted(f"{p}.{name}" for p in packages for name in import_module(f"pctheory.{p}").__all__)
    assert shown == public


def test_every_package_has_a_page():
    assert sorted(p for group in _reference.PACKAGES.values() for p in group) == sorted(pctheory._PACKAGES)


def test_what_can_be_had_from_the_top_is_linked_to_its_page(reference):
    index = reference["reference/index.rst"]
    linked = {target.rpartition(".")[2] for target in re.findall(r":py:obj:`~(pctheory[.\w]+)`", index)}
    assert linked == set(pctheory.__all__)


def test_functions_classes_and_values_are_told_apart():
    found = _reference.entries("landscape")
    assert "landscape_slice" in found["Functions"]
    assert "LandscapeSlice" in found["Classes"]
    assert found["Values"] == ["KINDS"]


def test_a_value_is_shown_with_the_text_below_its_assignment(reference):
    assert "The names of the toy problems." in reference["reference/explore.rst"]
    assert "``gd``, ``momentum``" in reference["reference/inference.rst"]


# ---- the claims


@pytest.fixture(scope="module")
def claim_pages():
    return _claims.pages(claims, TESTS, _claims.theorems(ROOT / "paper"), {})


def test_every_claim_has_a_page_with_all_that_is_known_of_it(claim_pages):
    wrong = []
    for claim in claims.values():
        page = claim_pages[f"claims/{claim.id}.md"]
        told = (claim.title, claim.statement, claim.assumptions, claim.source, claim.where, *claim.figures)
        for text in told:
            if text not in page:
                wrong.append(f"{claim.id}: {text}")
        if f"thm:{claim.id}" not in page:
            wrong.append(f"{claim.id}: its theorem")
        own = [test for test in TESTS if test.claim == claim.id]
        if page.count("<details>") != len(own):
            wrong.append(f"{claim.id}: its tests")
        for test in own:
            if f"def {test.name.rpartition('::')[2]}(" not in page:
                wrong.append(f"{claim.id}: {test.name}")
    assert_none(wrong, "The page of a claim must show")
    assert set(claim_pages) == {"claims/index.md", *(f"claims/{claim}.md" for claim in claims)}


def test_the_list_of_claims_links_and_ticks_each(claim_pages):
    index = claim_pages["claims/index.md"]
    for claim in claims.values():
        row = next(line for line in index.splitlines() if f"]({claim.id}.md)" in line)
        assert row.count("✓") == len(claim.evidence)
    assert index.count("\n## ") == len(claims.sections)


def toy(folder):
    """A catalogue of one claim, and its test."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_toys.py").write_text(
        "import pytest\n\n\n@pytest.mark.claim('good')\n@pytest.mark.evidence('empirical')\n"
        "def test_one_is_one():\n    assert 1 == 1\n\n\ndef test_other():\n    pass\n"
    )
    where = "pctheory.model.energy"
    claim = Claim("good", "A toy", "$1 = 1$", "None.", "us", EVIDENCE[2:], where, ("a-figure",))
    return Catalogue({"Toys": (claim,)}), find_tests(folder / "tests")


def test_a_page_shows_the_source_of_a_test_under_its_name_as_a_sentence(tmp_path):
    page = _claims.pages(*toy(tmp_path), {}, {}, root=tmp_path)["claims/good.md"]
    assert "### Empirical" in page
    assert "### Numerical" not in page
    assert "<summary>One is one</summary>" in page
    shown = re.search(r"````python\n(.*?)````", page, re.DOTALL)[1].splitlines()
    assert shown[0].startswith("@pytest.mark.claim")
    assert shown[-1] == "    assert 1 == 1"


def test_a_page_links_the_built_paper_and_shows_the_figures_there_are(tmp_path):
    for folder in ("sections", "build"):
        (tmp_path / "paper" / folder).mkdir(parents=True)
    (tmp_path / "paper" / "sections" / "toys.tex").write_text(r"\begin{theorem}\label{thm:good}")
    places = _claims.theorems(tmp_path / "paper")
    assert places == {"good": "`thm:good`, in `paper/sections/toys.tex`"}
    label = r"\newlabel{thm:good}{{4.2}{17}{A {\em toy}}{theorem.4.2}{}}"
    (tmp_path / "paper" / "build" / "main.aux").write_text(label)
    places = _claims.theorems(tmp_path / "paper")
    page = _claims.pages(*toy(tmp_path), places, {"a-figure": "<img>"}, root=tmp_path)["claims/good.md"]
    assert '<a href="../paper/main.pdf#theorem.4.2">Theorem 4.2</a>, in `paper/sections/toys.tex`' in page
    assert '<div class="figures"><img></div>' in page


# ---- the landscape of the first page


def test_the_film_begins_with_the_loss_and_ends_with_the_equilibrated_energy(film):
    result = hero_landscape.run(hero_landscape.PROFILES["quick"], Progress("toy"))
    for frame, rule in ((0, "bp"), (-1, "pc")):
        np.testing.assert_allclose(film.values[frame], result[rule]["values"], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(film.paths[frame][:, :2], result[rule]["path"], atol=1e-6)
        np.testing.assert_allclose(film.paths[frame][:, 2], result[rule]["heights"], atol=1e-6)
        losses = result[rule]["losses"]
        assert film.halved[frame] == np.argmax(losses <= losses[0] / 2)
    assert film.times[0] == 0
    assert np.isinf(film.times[-1])


def test_inference_only_lowers_the_energy(film):
    assert (np.diff(film.values, axis=0) <= 1e-15).all()
    assert (np.diff(film.halved) < 0).all()


def test_the_page_holds_the_numbers_of_the_film(film):
    block = _landscape.block(film)
    record = json.loads(re.search(r'<script type="application/json">(.*)</script>', block)[1])
    assert record["shape"] == [3, 9, 9]
    raw = np.frombuffer(base64.b64decode(record["heights"]), "<u2").reshape(record["shape"])
    np.testing.assert_allclose(raw / 65535 * record["top"], film.values, atol=record["top"] / 65535)
    assert record["halved"] == film.halved.tolist()
    assert record["times"][0] == "0.00"
    assert record["times"][-1] == "∞"


# ---- the tutorials, the figures, the pages written by hand


def test_a_notebook_shows_neither_controls_nor_axes_as_text():
    pages = _tutorials.pages(ROOT / "experiments" / "notebooks")
    names = sorted(path.stem for path in (ROOT / "experiments" / "notebooks").glob("*.ipynb"))
    assert set(pages) == {"tutorials/index.md", *(f"tutorials/{name}.ipynb" for name in names)}
    for name in names:
        cells = json.loads(pages[f"tutorials/{name}.ipynb"])["cells"]
        for cell, following in zip(cells, [*cells[1:], None], strict=True):
            controls = cell["cell_type"] == "code" and "pt.explore(" in "".join(cell["source"])
            assert controls == (cell["metadata"].get("tags") == ["remove-output"])
            assert not controls or "make lab" in following["source"]
            draws = cell["cell_type"] == "code" and ".plot()" in "".join(cell["source"])
            assert not draws or "".join(cell["source"]).endswith(";")
    assert "make lab" in pages["tutorials/1_tour.ipynb"]


def figure(name, title="A & b"):
    caption = "One. (exact setting)"
    return Drawn(name, title, "new", (4.0, 2.0), caption[6:-1], caption, [], "cpu", False, 1.0, {}, [])


def test_the_page_of_figures_groups_them_and_says_how_to_draw_them(tmp_path):
    assert "`make figures`" in _gallery.page([], {})
    drawn = [figure(name) for name in ("b-two", "a-one", "c")]
    page = _gallery.page(drawn, {"a-one": "First", "b-two": "Second"})
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["First", "Second", "More"]
    assert 'href="gallery/index.html#a-one"' in page
    picture = _gallery.thumbnail(figure("c"), up="../")
    assert 'src="../gallery/c.thumb.png" width="360" height="180"' in picture
    assert "A &amp; b" in page


def test_the_gallery_of_the_site_is_that_of_the_figures_and_whole(tmp_path):
    source, target = tmp_path / "out", tmp_path / "site"
    source.mkdir()
    for suffix in ("png", "thumb.png", "pdf"):
        (source / f"c.{suffix}").write_bytes(b"picture")
    _gallery.copy_gallery([figure("c")], source, target, {})
    assert {path.name for path in target.iterdir()} == {"index.html", "c.png", "c.thumb.png", "c.pdf"}
    write_gallery([figure("c")], source, None, {})
    assert (target / "index.html").read_text() == (source / "index.html").read_text()
    for link in re.findall(r'(?:href|src)="([^"#]+)"', (target / "index.html").read_text()):
        assert (target / link).exists()


def test_the_examples_of_the_questions_run():
    blocks = re.findall(r"```pycon\n(.*?)```", (PAGES / "questions.md").read_text(), re.DOTALL)
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "questions.md", None, 0)
    assert len(example.examples) > 20
    report = []
    flags = doctest.NORMALIZE_WHITESPACE
    failed = doctest.DocTestRunner(optionflags=flags).run(example, out=report.append).failed
    assert failed == 0, "".join(report)


def test_pages_name_what_exists():
    wrong = []
    for path in PAGES.glob("*.md"):
        text = path.read_text()
        for name in re.findall(r"\{py:(?:obj|meth)\}`(?:[^`<]*<)?~?(pctheory[\w.]+)>?`", text):
            package, _, rest = name.removeprefix("pctheory.").partition(".")
            if rest.partition(".")[0] not in import_module(f"pctheory.{package}").__all__:
                wrong.append(f"{path.name}: {name}")
        for name in re.findall(r"\]\(claims/([a-z0-9-]+)\.md\)", text):
            if name not in {*claims, "index"}:
                wrong.append(f"{path.name}: claim {name}")
    assert_none(wrong, "Pages must name what exists")


# ---- the build


def test_only_what_changes_is_written_and_what_is_gone_is_removed(tmp_path):
    write(tmp_path, {"a/one.md": "1", "two.md": b"2"})
    before = (tmp_path / "two.md").stat().st_mtime_ns
    write(tmp_path, {"two.md": b"2", "three.md": "3"})
    assert {path.name for path in tmp_path.rglob("*.md")} == {"two.md", "three.md"}
    assert (tmp_path / "two.md").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("tag", "outside"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', True),
        ('<script defer src="_static/x.js"></script>', False),
        ('<a href="https://example.org">a link may lead away</a>', False),
    ],
)
def test_a_page_that_needs_the_network_is_noticed(tmp_path, tag, outside):
    page = tmp_path / "page.html"
    page.write_text(f"<html>{tag}</html>")
    assert bool(needs_network(page)) == outside
