"""The source of the paper: its labels, citations, figures, numbers and ticks all lead somewhere."""

import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from architecture import THEORY
from listing import assert_none

from figures._figure import figure_ids
from paper import generate
from pctheory import symbolic
from pctheory.claims import Catalogue, Claim, claims
from pctheory.claims._claim import EVIDENCE
from pctheory.claims._tests import ClaimTest

ROOT = Path(__file__).parent.parent
PAPER = ROOT / "paper"


def source(path):
    """The text without comments."""
    return re.sub(r"(?<!\\)%.*", "", path.read_text())


def read(*patterns):
    """name -> text of the files that match"""
    return {path.name: source(path) for pattern in patterns for path in sorted(PAPER.glob(pattern))}


DOCUMENTS = {
    "main": read("main.tex", "text/*.tex"),
    "supplement": read("supplement.tex", "sections/*.tex"),
    "derivations": read("derivations.tex"),
}
SOURCES = sorted([*PAPER.glob("*.tex"), *PAPER.glob("text/*.tex"), *PAPER.glob("sections/*.tex")])
WHOLE = {name: "\n".join(files.values()) for name, files in DOCUMENTS.items()}
MAIN, SUPPLEMENT = WHOLE["main"], WHOLE["supplement"]
EVERYTHING = "\n".join(WHOLE.values())
each_document = pytest.mark.parametrize("document", DOCUMENTS)


def arguments(text, *macros):
    """The keys that the macros are given, lists split."""
    names = "|".join(macros)
    found = re.findall(rf"\\(?:{names})\*?(?:\[[^]]*\])*\{{([^}}]*)\}}", text)
    return [key.strip() for group in found for key in group.split(",")]


def labels(text):
    """Those of the text; that of a figure is made by \\pcfigure."""
    return [*arguments(text, "label"), *(f"fig:{name}" for name in arguments(text, "pcfigure"))]


def rows():
    """The claims of the table of theorems."""
    return arguments(DOCUMENTS["main"]["theorems.tex"], "pcrow")


@each_document
def test_every_label_is_unique(document):
    counts = Counter(labels(WHOLE[document]))
    assert_none([label for label, count in counts.items() if count > 1], "Labels must be unique")


@each_document
def test_every_reference_has_its_label(document):
    macros = ("ref", "cref", "Cref", "eqref", "autoref", "pageref", "nameref")
    references = set(arguments(WHOLE[document], *macros))
    assert_none(references - {*labels(WHOLE[document])}, "References must have a label")


def test_every_reference_to_the_supplement_has_its_label_there():
    references = arguments(EVERYTHING, "suppref", "Suppref")
    assert len(set(references)) >= 40
    assert_none(set(references) - {*labels(SUPPLEMENT)}, "References must have a label in the supplement")


@each_document
def test_every_citation_is_in_the_bibliography(document):
    keys = re.findall(r"@\w+\{\s*([^,\s]+)\s*,", (PAPER / "references.bib").read_text())
    assert len(keys) == len(set(keys))
    cited = set(arguments(WHOLE[document], r"cite[a-z]*", r"Cite[a-z]*"))
    assert_none(cited - set(keys), "Citations must be in references.bib")


@each_document
def test_every_tick_belongs_to_a_claim_and_stands_at_its_label(document):
    assert_none(set(arguments(WHOLE[document], "claim")) - set(claims), "Ticks must name a claim")
    for name, text in DOCUMENTS[document].items():
        for label, tick in re.findall(r"\\label\{thm:([^}]*)\}\s*(?:\\claim\{([^}]*)\})?", text):
            assert label == tick, f"{name}: the label thm:{label} must be followed by \\claim{{{label}}}"


@each_document
def test_every_figure_has_its_module_and_is_shown_once(document):
    figures = Counter(arguments(WHOLE[document], "pcfigure"))
    assert_none(set(figures) - set(figure_ids("figures")), "Figures must have a module in figures/")
    assert_none([name for name, count in figures.items() if count > 1], "Figures must be shown once")


def test_the_main_text_shows_a_few_figures_and_the_supplement_all_of_them():
    shown = arguments(MAIN, "pcfigure")
    assert 8 <= len(shown) <= 10
    assert_none(set(shown) - set(arguments(SUPPLEMENT, "pcfigure")), "The supplement must show all figures")


def test_the_main_text_refers_to_each_of_its_figures():
    shown = {f"fig:{name}" for name in arguments(MAIN, "pcfigure")}
    assert_none(shown - set(arguments(MAIN, "cref", "Cref")), "Figures of the main text must be referred to")


def test_every_number_belongs_to_a_figure_or_to_the_claims():
    known = {*figure_ids("figures"), "claims"}
    unknown = [key for key in arguments(EVERYTHING, "pcnum") if key.partition("/")[0] not in known]
    assert_none(unknown, "Numbers must belong to a figure")


@pytest.mark.parametrize(("macro", "folder"), [("pcsection", "sections"), ("pctext", "text")])
def test_every_file_is_there_and_used(macro, folder):
    used = [*arguments(EVERYTHING, macro), *(["symbols", "abstract"] if folder == "text" else [])]
    assert sorted(used) == sorted(path.stem for path in (PAPER / folder).glob("*.tex"))


# ---- the theorems of the main text


def test_the_table_of_theorems_lists_claims_of_the_catalogue_once_each():
    counts = Counter(rows())
    assert_none(set(counts) - set(claims), "The table of theorems must name claims")
    assert_none([name for name, count in counts.items() if count > 1], "Claims must have one row")


def test_each_row_of_the_table_of_theorems_has_its_statement_in_the_supplement():
    missing = [name for name in rows() if f"thm:{name}" not in labels(SUPPLEMENT)]
    assert_none(missing, "Theorems of the table must be stated in the supplement")


MEASURED = {"conditioning", "error-reach", "pcn-tradeoff", "rich-drift", "tr-alignment"}
"""Claims that are measurements, or repeat a theorem beside one: the table of theorems leaves them out."""


def test_the_table_of_theorems_leaves_out_no_theorem():
    missing = set(claims) - set(rows()) - MEASURED
    assert_none(missing, r"Theorems must have a \pcrow in paper/text/theorems.tex")
    assert_none(MEASURED & set(rows()), "Measurements must not be in the table of theorems")


def test_every_statement_of_the_main_text_is_in_the_table_and_in_the_supplement():
    stated = set(arguments(MAIN, "claim"))
    assert len(stated) >= 20
    assert_none(stated - set(rows()), "Statements of the main text must be in the table")
    assert_none(stated - set(arguments(SUPPLEMENT, "claim")), "Statements must be in the supplement")


@pytest.mark.parametrize(
    "path", [*SOURCES, PAPER / "references.bib", PAPER / "generate.py"], ids=lambda p: p.name
)
def test_no_path_of_a_machine_is_in_the_source(path):
    assert not re.search(r"(?<![\w.])/(home|root|tmp|usr|work|Users|var|opt)/|[A-Z]:\\\\", path.read_text())


@each_document
def test_mathematics_is_balanced(document):
    for name, text in DOCUMENTS[document].items():
        environments = Counter()
        for kind, environment in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
            environments[environment] += 1 if kind == "begin" else -1
        assert not {e: n for e, n in environments.items() if n}, name


# ---- one meaning for each symbol

SYMBOLS = DOCUMENTS["main"]["symbols.tex"]
WORDS = {
    r"\kappa": ("condition",),
    r"\alpha": ("adjoint",),
    "N": ("width", "wide"),
}
"""What a docstring that uses the symbol must say; the meaning in the paper's table says it too."""
OWN = {
    "related": (r"\alpha",),  # Predify's, as published
    "limits": (r"\alpha",),  # the ratio of precisions in the limit of width
    "landscape.landscape_slice": (r"\alpha",),  # coordinates in a plane
}


def symbols():
    """symbol -> meaning, from the table that both texts print"""
    table = re.search(r"\\begin\{tabular\}(.*?)\\end\{tabular\}", SYMBOLS, re.DOTALL)[1]
    rows = [row.split("&") for row in re.sub(r".*?\\midrule", "", table, flags=re.DOTALL).split(r"\\")]
    return {
        name.strip(): meaning.strip()
        for symbol, meaning, _ in (row for row in rows if len(row) == 3)
        for name in symbol.strip().strip("$").split(",")
    }


def second_meanings(docstring):
    """Symbols in the docstring that it does not use in the sense of the table."""
    text = docstring.lower()
    return [
        symbol
        for symbol, words in WORDS.items()
        if re.search(rf"(?<![A-Za-z_\\]){re.escape(symbol)}(?![A-Za-z(])", docstring)
        and not any(word in text for word in words)
    ]


def test_the_table_of_symbols_gives_each_symbol_one_meaning():
    table = re.findall(r"^ *\$([^$]*)\$ &", SYMBOLS, re.MULTILINE)
    names = [name.strip() for entry in table for name in entry.split(",")]
    assert_none([name for name, count in Counter(names).items() if count > 1], "Symbols must have one row")
    assert len(names) == len(symbols()) >= 20
    for symbol, words in WORDS.items():
        assert all(word in symbols()[symbol].lower() for word in words), symbol


def test_no_docstring_uses_a_symbol_in_a_second_meaning():
    wrong = []
    for package in THEORY:
        module = import_module(f"pctheory.{package}")
        for name in module.__all__:
            exempt = {*OWN.get(package, ()), *OWN.get(f"{package}.{name}", ())}
            found = set(second_meanings(getattr(module, name).__doc__ or "")) - exempt
            wrong += [f"{symbol} in {package}.{name}" for symbol in sorted(found)]
    assert_none(wrong, "Symbols of the table must keep their meaning in docstrings")


def test_a_second_meaning_is_noticed():
    assert second_meanings(r"With :math:`\kappa_l = a_l \sqrt{n_{l-1}}`, which is 1") == [r"\kappa"]
    assert not second_meanings(r"The condition number :math:`\kappa`")
    assert second_meanings("A batch is (B, N)") == ["N"]
    assert not second_meanings(r"z is drawn from :math:`N(0, 1)`")


# ---- what is generated


def toy():
    claim = Claim(
        "toy-claim",
        r"A toy & $\mu$",
        "$1$",
        "None.",
        "this work",
        ("symbolic",),
        "pctheory.model.layer_energies",
        ("toy",),
    )
    return Catalogue({"Toys": (claim,)})


def record(verdict, *tests):
    return {"verdict": verdict, "tests": list(tests)}


def test_ticks_are_the_verdicts():
    kinds = dict(
        zip(EVIDENCE, (record("passed", "a", "b"), record("none"), record("failed", "b")), strict=True)
    )
    text = generate.ticks(toy(), {"seconds": 12.4, "claims": {"toy-claim": kinds, "gone": kinds}}, 7)
    assert r"\pctickmark{S}{passed}\,\pctickmark{N}{none}\,\pctickmark{E}{failed}" in text
    assert "gone" not in text
    numbers = dict(re.findall(r"pcnum:claims/([\w-]+)\\endcsname\{(\d+)\}", text))
    assert numbers == {
        "claims": "1",
        "checks": "1",
        "three-checks": "0",
        "two-checks": "0",
        "one-check": "1",
        "tests": "2",
        "derivations": "7",
        "seconds": "12",
    }


def test_the_table_names_the_claim_its_place_and_its_tests():
    tests = [
        ClaimTest("toy-claim", "symbolic", "tests/test_symbolic_toy.py", f"test_{n}", n) for n in range(3)
    ]
    text = generate.table(toy(), tests)
    assert r"\hypertarget{claim:toy-claim}{}\pcticks{toy-claim}" in text
    assert r"A toy \& $\mu$" in text
    assert r"\cref{thm:toy-claim}" in text
    assert r"\texttt{test\_\allowbreak{}symbolic\_\allowbreak{}toy.py}~(3)" in text
    assert r"\href{../../pctheory/model/definitions.py}" in text
    assert r"\texttt{model.\allowbreak{}layer\_\allowbreak{}energies}}" in text


def test_every_number_about_the_claims_is_generated():
    empty = dict.fromkeys(EVIDENCE, record("none"))
    text = generate.ticks(toy(), {"seconds": 1.0, "claims": {"toy-claim": empty}}, 7)
    used = {key for key in arguments(EVERYTHING, "pcnum") if key.startswith("claims/")}
    assert all(rf"\csname pcnum:{key}\endcsname" in text for key in used)


def test_every_derivation_belongs_to_a_claim():
    unknown = {case.claim for case in symbolic.derivations()} - set(claims)
    assert_none(unknown, "Derivations must name a claim")


def test_one_case_of_each_family_is_printed():
    def chosen(claim):
        return [[str(case) for case in group] for group in generate.kinds(symbolic.derivations(claim))]

    assert chosen("equilibrated-energy") == [
        ["equilibrated-energy(hidden_layers=1)", "equilibrated-energy(hidden_layers=0)"],
        ["equilibrated-energy()"],
        ["equilibrated-energy(widths=(2, 2, 2))"],
    ]
    assert chosen("zero-rank-saddles") == [
        ["zero-rank-saddles(widths=(2, 2, 2))", "zero-rank-saddles(widths=(1, 1, 1))"]
    ]
    first, second = "hidden_layers=1, num_steps=1", "hidden_layers=1, num_steps=0"
    assert [f"finite-time-energy({case})" for case in (first, second)] in chosen("finite-time-energy")


def test_a_formula_that_cannot_be_read_is_not_printed():
    assert generate.legible(symbolic.derive("posterior", hidden_layers=1))
    assert not generate.legible(symbolic.derive("posterior", widths=(2, 2, 2)))
    text = generate.derivations(claims, symbolic.derivations("posterior"))
    assert symbolic.derive("posterior", hidden_layers=1).to_latex() in text
    assert text.count(r"\paragraph") == 1


def test_derivations_are_printed_below_their_claim_with_premises_and_steps():
    text = generate.derivations(claims, symbolic.derivations("equilibrated-energy"))
    derivation = symbolic.derive("equilibrated-energy", hidden_layers=1)
    assert r"(\suppref{thm:equilibrated-energy})" in text
    assert derivation.to_latex() in text
    assert r"\item[Given] the energy $F$ of one sample" in text
    assert derivation.to_latex().count(r"\item") == len(derivation.steps) + len(derivation.premises)
