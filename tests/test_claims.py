"""Claims, code, tests, figures and the paper name one another: each claim is computed, tested, shown and
proved.
"""

import json
import re
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest
from listing import assert_none

from pctheory import claims as package
from pctheory.claims import Catalogue, Claim, claims
from pctheory.claims.__main__ import main
from pctheory.claims._catalogue import SECTIONS
from pctheory.claims._claim import EVIDENCE
from pctheory.claims._tests import evidence_of, find_tests
from pctheory.claims._verify import verify

ROOT = Path(__file__).parent.parent
TESTS = find_tests()
LABEL = re.compile(r"\\label\{(?:thm|clm):([^}]*)\}")


def labels():
    """claim id -> the section files that label it"""
    found = {}
    for path in sorted((ROOT / "paper" / "sections").glob("*.tex")):
        for label in LABEL.findall(path.read_text()):
            found.setdefault(label, []).append(path.name)
    return found


# ---- the catalogue against the code, the tests, the figures and the paper


def test_every_marker_names_a_claim():
    unknown = {f"{t.claim} in {t.path}:{t.line}" for t in TESTS if t.claim not in claims}
    assert_none(unknown, "Markers must name a claim of the catalogue")


def test_the_evidence_that_a_claim_lists_is_the_evidence_of_its_tests():
    wrong = []
    for claim in claims.values():
        own = {test.evidence for test in TESTS if test.claim == claim.id}
        given = tuple(kind for kind in EVIDENCE if kind in own)
        if given != claim.evidence:
            wrong.append(f"{claim.id} lists {claim.evidence}, its tests give {given}")
    assert_none(wrong, "`evidence` must be the evidence of the tests")


def test_every_claim_is_in_the_paper_once():
    found = {claim: labels().get(claim, ()) for claim in claims}
    wrong = [f"{claim}: {', '.join(files) or 'nowhere'}" for claim, files in found.items() if len(files) != 1]
    assert_none(wrong, r"paper/sections must hold \label{thm:<id>} once for each claim")


def test_every_label_of_the_paper_that_names_a_claim_is_in_the_catalogue():
    # the paper may label lemmas of its own: those are written lem:, prop: or cor:
    unknown = [f"{label} in {', '.join(files)}" for label, files in labels().items() if label not in claims]
    assert_none(unknown, r"\label{thm:<id>} must name a claim")


def test_every_figure_of_a_claim_exists():
    missing = [
        f"{figure} of {claim.id}"
        for claim in claims.values()
        for figure in claim.figures
        if not (ROOT / "figures" / f"{figure.replace('-', '_')}.py").exists()
    ]
    assert_none(missing, "Figures of claims must have a module in figures/")


def described(claim):
    """Whether the docstring of the object that computes the claim names it."""
    return f"``{claim.id}``" in (claim.resolve().__doc__ or "")


def test_every_claim_is_named_in_the_docstring_of_what_computes_it():
    wrong = [f"{claim.id}: {claim.where}" for claim in claims.values() if not described(claim)]
    assert_none(wrong, "The docstring of `where` must hold the claim's id in double backticks")


def test_a_docstring_that_does_not_name_the_claim_is_noticed():
    assert described(toy("equilibrium-errors", where="pctheory.inference.equilibrium"))
    assert not described(toy("equilibrium-error", where="pctheory.inference.equilibrium"))
    assert not described(toy("equilibrium-errors", where="pctheory.inference.inference_rate"))


def test_a_theorem_tells_its_package():
    """Claims are grouped by the package that computes them. A measured claim may stand in any group."""
    wrong = []
    for package_name, heading in SECTIONS.items():
        for claim in claims.sections[heading]:
            root, name, *rest = claim.where.split(".")
            if root == "pctheory" and (name != package_name or not rest):
                wrong.append(f"{claim.id} in claims/{package_name}.py: {claim.where}")
    assert_none(wrong, "`where` must lie in the package of the claim's section")


def test_where_is_public():
    wrong = []
    for claim in claims.values():
        root, name, *rest = claim.where.split(".")
        if root == "pctheory" and rest[0] not in import_module(f"{root}.{name}").__all__:
            wrong.append(claim.where)
        if any(part.startswith("_") for part in (name, *rest)):
            wrong.append(claim.where)
    assert_none(wrong, "`where` must name what a package exports")


def test_ids_are_words_joined_by_hyphens_and_statements_are_balanced():
    for claim in claims.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.id), claim.id
        for text in (claim.title, claim.statement, claim.assumptions, claim.source):
            assert text, claim.id
            assert text.count("$") % 2 == 0, (claim.id, text)
            assert text.count("{") == text.count("}"), (claim.id, text)


# ---- the machinery


def toy(name, evidence=("numerical",), where="pctheory.model.energy"):
    return Claim(name, "A toy", "$1 = 1$", "None.", "this work", evidence, where, ("toy-figure",))


def checkout(folder, **files):
    """A folder with tests/ in it, as `verify` and `find_tests` expect."""
    (folder / "tests").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    claim(id): id\n    evidence(kind): kind\n")
    for name, text in files.items():
        (folder / "tests" / f"{name}.py").write_text("import pytest\n" + textwrap.dedent(text))
    return folder / "tests"


def test_two_claims_of_one_id_are_refused():
    with pytest.raises(ValueError, match="Got 'a' twice"):
        Catalogue({"One": (toy("a"),), "Two": (toy("a"),)})


def test_an_unknown_claim_and_an_unknown_kind_of_evidence_are_refused():
    with pytest.raises(KeyError, match="no claim 'nonsense'"):
        claims["nonsense"]
    with pytest.raises(ValueError, match=r"`evidence` must be one of 'symbolic', .* Got 'imaginary'"):
        toy("a", ("imaginary",))


@pytest.mark.parametrize("where", ["numpy.linalg", "pctheory", "pctheory.", "pctheory.model.an energy", ""])
def test_a_place_that_is_no_dotted_name_of_the_project_is_refused(where):
    with pytest.raises(ValueError, match="`where` must be a dotted name in `pctheory` or `experiments`"):
        toy("a", where=where)


def test_markers_are_found_wherever_pytest_allows_them(tmp_path):
    tests = checkout(
        tmp_path,
        test_module="""
            pytestmark = [pytest.mark.claim("module")]
            REAL = pytest.mark.evidence("empirical")
            def test_one(): ...
            @pytest.mark.claim("function")
            @REAL
            def test_two(): ...
            @pytest.mark.claim("class")
            class TestThree:
                pytestmark = pytest.mark.claim("body")
                @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.claim("param"))])
                def test_four(self, n): ...
                def helper(self): ...
        """,
        test_symbolic_toy="""
            @pytest.mark.claim("symbol")
            def test_five(): ...
            def test_without_marker(): ...
        """,
    )
    found = {(t.claim, t.evidence, t.name) for t in find_tests(tests)}
    four = "TestThree::test_four"
    assert found == {
        ("module", "numerical", "test_one"),
        ("module", "empirical", "test_two"),
        ("function", "empirical", "test_two"),
        *((claim, "numerical", four) for claim in ("module", "class", "body", "param")),
        ("symbol", "symbolic", "test_five"),
    }


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('claim("a", "b")', "must hold one string"),
        ("claim(NAME)", "must hold one string"),
        ('evidence("anecdotal")', "must name one of symbolic, numerical, empirical"),
    ],
)
def test_a_marker_that_cannot_be_read_is_refused(tmp_path, marker, message):
    tests = checkout(tmp_path, test_bad=f"@pytest.mark.{marker}\ndef test_claim(): ...\n")
    with pytest.raises(ValueError, match=message):
        find_tests(tests)


def test_the_file_tells_the_kind_of_evidence_unless_a_marker_does():
    assert evidence_of("test_nn_training") == "empirical"
    assert evidence_of("test_symbolic_chain", "numerical") == "numerical"


def test_verdicts_tell_passed_failed_skipped_and_missing_apart(tmp_path):
    tests = checkout(
        tmp_path,
        test_toys="""
            @pytest.mark.claim("good")
            @pytest.mark.parametrize("n", [1, 2])
            def test_good(n): ...
            @pytest.mark.claim("good")
            @pytest.mark.claim("bad")
            @pytest.mark.evidence("empirical")
            def test_both(): ...
            @pytest.mark.claim("bad")
            @pytest.mark.parametrize("n", [1, 2])
            def test_bad(n): assert n == 1
            @pytest.mark.claim("set-up")
            def test_set_up(absent): ...
            @pytest.mark.claim("idle")
            def test_idle(): pytest.skip("not here")
            def test_of_no_claim(): assert False
        """,
    )
    names = ("good", "bad", "set-up", "idle", "alone")
    listed = {"good": ("numerical", "empirical"), "bad": ("numerical", "empirical"), "alone": ("symbolic",)}
    verdicts = verify([toy(name, listed.get(name, ("numerical",))) for name in names], tests=tests)
    table = {name: [verdicts.claims[name][kind]["verdict"] for kind in EVIDENCE] for name in names}
    assert table == {
        "good": ["none", "passed", "passed"],
        "bad": ["none", "failed", "passed"],
        "set-up": ["none", "failed", "none"],
        "idle": ["none", "skipped", "none"],
        "alone": ["none", "none", "none"],
    }
    assert verdicts.missing == (("alone", "symbolic"),)
    assert not verdicts.ok
    assert not verdicts.broken
    assert verdicts.claims["good"]["numerical"]["cases"] == 2
    assert verdicts.claims["good"]["numerical"]["tests"] == ["tests/test_toys.py::test_good"]
    lines = str(verdicts).splitlines()
    assert lines[2].split()[:4] == ["bad", "none", "failed", "passed"]
    assert lines[5].split()[1] == "missing"
    assert lines[-1].startswith("5 claims, 3 of 7 checks passed")
    assert json.loads(verdicts.to_json())["claims"].keys() == set(names)


def test_a_test_file_that_cannot_be_imported_is_no_verdict(tmp_path):
    tests = checkout(
        tmp_path, test_toys="import nowhere_at_all\n@pytest.mark.claim('good')\ndef test_good(): ...\n"
    )
    verdicts = verify([toy("good")], tests=tests)
    assert verdicts.broken
    assert not verdicts.ok
    assert "pytest could not run" in str(verdicts)


def test_without_tests_there_is_nothing_to_verify(tmp_path):
    with pytest.raises(ValueError, match="`verify` must run in a checkout"):
        verify([toy("good")], tests=tmp_path / "tests")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "no-such-claim"], "`ID` must be the id of a claim. Got 'no-such-claim'"),
        (["verify", "--jobs", "0"], "`--jobs` must be 1 or more. Got 0."),
    ],
)
def test_a_wrong_argument_is_answered_in_one_sentence(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_command_line_prints_the_catalogue():
    out = subprocess.run(
        [sys.executable, "-m", "pctheory.claims"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    rows = out.stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == list(claims)


def test_verify_runs_one_claim_and_writes_its_verdicts_where_it_is_told(tmp_path, capsys):
    path = tmp_path / "deep" / "verdicts.json"
    assert main(["verify", "data-compression", "--jobs", "1", "--out", str(path)]) == 0
    assert "data-compression" in capsys.readouterr().out
    records = json.loads(path.read_text())["claims"]["data-compression"]
    assert records["numerical"]["verdict"] == "passed"
    ran = {test for record in records.values() for test in record["tests"]}
    assert ran == {f"{t.path}::{t.name}" for t in TESTS if t.claim == "data-compression"}


def test_the_catalogue_shows_itself_in_a_notebook():
    html = package.claims._repr_html_()
    assert all(f"<code>{claim}</code>" in html for claim in claims)
