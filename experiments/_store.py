"""Results on disk: where they lie, what they came from, and whether they are still what the code says.

`results/<profile>/<name>/<hash>.npz` holds the arrays and `<hash>.json` their provenance. The hash is that of
the settings and of the experiment's own code (`_digest` says what counts), so a result of other settings or
other code is *stale*. So is one that was computed without a data set that its settings name and that is on
the machine now. A damaged file counts as missing.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments._digest import code_digest, digest
from experiments._progress import Progress
from experiments._result import DamagedError, Result, read_result, write_atomically, write_result
from pctheory import __version__, _check
from pctheory.datasets import DATASETS, available_datasets

PROFILES = ("quick", "cpu", "full")
_SIZE_LIMIT = 1_000_000  # bytes of a committed result
_PACKAGES = ("numpy", "scipy", "torch", "scikit-learn", "pctheory")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment module that keeps the contract."""

    name: str
    question: str
    profiles: Mapping[str, Any]
    run: Callable[[Any, Progress], Mapping[str, Any]]
    code: str
    analogue: str | None


@dataclasses.dataclass(frozen=True)
class Meta:
    """Where a result came from.

    Attributes
    ----------
    experiment, profile
        names
    config
        the settings that were used, as stored
    setting
        "exact setting", "scaled down: ..." (each setting that differs from the profile `full`, both values)
        or "analogue: ..." (the module's `ANALOGUE`)
    seconds, versions, commit
        wall time (and the cells' own time of those resumed), package versions, and the commit of the
        computation (None outside a checkout)
    stale
        why the result is not that of the present code and settings; None when it is
    """

    experiment: str
    profile: str
    config: Mapping[str, Any]
    setting: str
    seconds: float
    versions: Mapping[str, str]
    commit: str | None
    stale: str | None


@dataclasses.dataclass(frozen=True)
class Status:
    """`state` is "present", "stale" or "missing".

    `stem` is the path without suffix of the result, if there is one.
    """

    state: str
    reason: str | None = None
    stem: Path | None = None
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Store:
    """The experiments of one package and their results under one folder.

    Parameters
    ----------
    package
        importable package of experiment modules
    root
        folder of the results; default `results/` in the package
    """

    package: str = "experiments"
    root: Path = Path(__file__).parent / "results"

    def names(self) -> list[str]:
        """The modules of the package that are experiments: no package, no leading underscore."""
        path = importlib.import_module(self.package).__path__
        return sorted(m.name for m in pkgutil.iter_modules(path) if not m.ispkg and m.name[0] != "_")

    def experiment(self, name: str) -> Experiment:
        module_name = name.replace("-", "_")
        _check.choice(module_name, "experiment", self.names())
        return _experiment(importlib.import_module(f"{self.package}.{module_name}"))

    def status(self, experiment: Experiment, profile: str) -> Status:
        """Whether the stored result of a profile is that of the present code and settings."""
        config = experiment.profiles[_check.choice(profile, "profile", PROFILES)]
        folder = self._folder(experiment, profile)
        records, damaged = {}, []
        for path in sorted(folder.glob("*.json")):
            if not path.with_suffix(".npz").exists():
                continue
            try:
                records[path.with_suffix("")] = _read_record(path)
                read_result(path.with_suffix(".npz"))
            except DamagedError as error:
                records.pop(path.with_suffix(""), None)
                damaged.append(str(error))
        present = folder / _stem(experiment, config)
        if present in records:
            absent = set(records[present].get("absent", ())) & set(available_datasets())
            seconds = records[present]["seconds"]
            if absent:
                reason = f"it was computed without {', '.join(sorted(absent))}"
                return Status("stale", reason, present, seconds)
            return Status("present", None, present, seconds)
        if not records:
            return Status("missing", " ".join(damaged) or None)
        stem, record = max(records.items(), key=lambda item: item[1]["code"] == experiment.code)
        reason = "its code changed" if record["code"] != experiment.code else "its settings changed"
        return Status("stale", reason, stem, record["seconds"])

    def load(self, experiment: Experiment, profile: str) -> tuple[Result, Meta]:
        """The stored result, stale or not."""
        status = self.status(experiment, profile)
        if status.stem is None:
            raise FileNotFoundError(
                f"`{experiment.name}` has no result of the profile {profile!r}: "
                f"run `python -m {self.package} {experiment.name} --profile {profile}`."
            )
        record = _read_record(status.stem.with_suffix(".json"))
        meta = Meta(
            experiment=experiment.name,
            profile=profile,
            config=record["config"],
            setting=_setting(experiment, record["config"]),
            seconds=record["seconds"],
            versions=record["versions"],
            commit=record["commit"],
            stale=status.reason,
        )
        return read_result(status.stem.with_suffix(".npz")), meta

    def obtain(
        self,
        experiment: Experiment,
        profile: str,
        *,
        jobs: int = 1,
        backend: str = "loky",
        force: bool = False,
        keep_stale: bool = False,
        quiet: bool = False,
    ) -> tuple[Result, Meta]:
        """The result of a profile, from disk if it is present, else computed and stored."""
        status = self.status(experiment, profile)
        say = _silence if quiet else _say
        if status.reason is not None and not force:
            say(f"{experiment.name} ({profile}): {status.state}, {status.reason}")
        if force or status.state == "missing" or (status.state == "stale" and not keep_stale):
            self._compute(experiment, profile, jobs, backend, force, quiet, say)
        return self.load(experiment, profile)

    def _compute(
        self,
        experiment: Experiment,
        profile: str,
        jobs: int,
        backend: str,
        force: bool,
        quiet: bool,
        say: Callable[[str], None],
    ) -> None:
        config = experiment.profiles[profile]
        folder = self._folder(experiment, profile)
        stem = _stem(experiment, config)
        checkpoints = folder / "checkpoints"
        absent = sorted(_wanted(_plain(config)) - set(available_datasets()))
        if force:
            shutil.rmtree(checkpoints, ignore_errors=True)
        say(f"{experiment.name} ({profile}): computing")
        progress = Progress(
            config,
            jobs,
            backend,
            checkpoints / digest([stem, absent, __version__]),
            None if quiet else f"{experiment.name} ({profile})",
        )
        start = time.perf_counter()
        result = Result(experiment.run(config, progress))
        seconds = time.perf_counter() - start + progress.resumed_seconds
        size = write_result(folder / f"{stem}.npz", result, compact=True)
        record = {
            "experiment": experiment.name,
            "profile": profile,
            "config": _plain(config),
            "code": experiment.code,
            "seed": getattr(config, "seed", None),
            "seconds": round(seconds, 2),
            "versions": _versions(),
            "commit": _commit(),
            "absent": absent,
        }
        write_atomically(folder / f"{stem}.json", json.dumps(record, indent=1, sort_keys=True) + "\n")
        # Only now, with the new result in place, may its predecessors and its checkpoints go.
        for old in [*folder.glob("*.json"), *folder.glob("*.npz")]:
            if old.stem != stem:
                old.unlink()
        shutil.rmtree(checkpoints, ignore_errors=True)
        say(f"{experiment.name} ({profile}): done in {seconds:.1f} s, {size / 1000:.0f} kB")
        if size > _SIZE_LIMIT and profile != "quick":
            say(f"{experiment.name} ({profile}): warning: a committed result should stay below 1 MB")

    def _folder(self, experiment: Experiment, profile: str) -> Path:
        return self.root / profile / experiment.name


def _experiment(module: ModuleType) -> Experiment:
    """Check the contract and name what is broken."""
    name = module.__name__.rpartition(".")[2]
    config, profiles = getattr(module, "Config", None), getattr(module, "PROFILES", None)
    rule = None
    if not (module.__doc__ or "").strip():
        rule = "must have a docstring that states its question"
    elif not (dataclasses.is_dataclass(config) and config.__dataclass_params__.frozen):  # type: ignore[union-attr]
        rule = "must define a frozen dataclass `Config`"
    elif not isinstance(profiles, Mapping) or set(profiles) != set(PROFILES):
        rule = "must define `PROFILES` with the keys 'quick', 'cpu' and 'full'"
    elif profiles["full"] != config():  # type: ignore[operator]
        rule = "must have its published settings as the defaults of `Config`: PROFILES['full'] == Config()"
    elif not callable(getattr(module, "run", None)):
        rule = "must define `run(config, progress)`"
    if rule is not None:
        raise TypeError(f"The experiment `{name}` {rule}: see experiments/README.md.")
    return Experiment(
        name=name,
        question=" ".join((module.__doc__ or "").strip().split("\n\n")[0].split()),
        profiles=dict(profiles),  # type: ignore[arg-type]
        run=module.run,
        code=code_digest(module),
        analogue=getattr(module, "ANALOGUE", None),
    )


def _setting(experiment: Experiment, used: Mapping[str, Any]) -> str:
    """How the settings that were used relate to the published ones."""
    if experiment.analogue is not None:
        return f"analogue: {experiment.analogue}"
    published = _plain(experiment.profiles["full"])
    differing = [name for name in used if name not in published or used[name] != published[name]]
    if not differing:
        return "exact setting"
    fields = {
        f.name: f.metadata.get("label", f.name.replace("_", " "))
        for f in dataclasses.fields(experiment.profiles["full"])
    }
    parts = [
        f"{fields.get(name, name)} {_shown(used[name])} instead of {_shown(published.get(name))}"
        for name in differing
    ]
    return f"scaled down: {'; '.join(parts)}"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _stem(experiment: Experiment, config: Any) -> str:
    return digest([_plain(config), experiment.code])


def _plain(config: Any) -> dict[str, Any]:
    """The settings as JSON has them (tuples are lists), so that a stored and a present config compare."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def _wanted(settings: object) -> set[str]:
    """The data sets that settings name."""
    if isinstance(settings, dict):
        return _wanted(list(settings.values()))
    if isinstance(settings, list):
        return {name for item in settings for name in _wanted(item)}
    return {settings} if isinstance(settings, str) and settings in DATASETS else set()


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        complete = {"config", "code", "seconds", "versions", "commit"} <= record.keys()
    except (ValueError, AttributeError) as error:
        raise DamagedError(f"{path.name} must be a whole JSON object. Got: {error}.") from error
    if not complete:
        raise DamagedError(f"{path.name} must be the record of a result. Got other names in it.")
    found: dict[str, Any] = record
    return found


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of the checkout, with "+" where tracked files differ from it; None outside one."""
    try:
        git = ["git", "-C", str(Path(__file__).parent)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], capture_output=True, check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.returncode else "")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _silence(line: str) -> None:
    pass
