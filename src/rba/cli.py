"""The `rba` command. Nothing heavy is imported before a verb needs it, so that `rba --help` answers at once."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Sequence

from rba import __version__, runtime
from rba.errors import ModelError, RbaError, RecipeError
from rba.files import disk_full

_STAGES = {
    "run": "everything: data, speech, alignment, evaluation, report; skips what is done",
    "synthesize": "let the teacher write instructions and answer them",
    "speak": "speak every instruction in several voices",
    "connect": "train the connector between speech encoder and language model",
    "align": "align the SpeechLM to the teacher, by each method of the recipe",
    "evaluate": "score every model on the held-out speech",
    "report": "write report.html and print the results table",
}
_DRY_RUN = "drive every stage at a handful of items with tiny stand-ins for all models and servers, and keep nothing"
_EPILOG = """examples:
  rba run recipes/tiny.yaml
  rba run recipes/paper.yaml --dry-run
  rba run recipes/tiny.yaml align.lr=2e-4 'align.methods=[rba-group]' output=runs/lr2
  rba show-config recipes/tiny.yaml
  rba chat runs/tiny/final/rba-group --wav question.wav

A run that was stopped goes on where it was when the same command is given again."""


def build_parser() -> argparse.ArgumentParser:
    """The command line, verb by verb."""
    raw = argparse.RawDescriptionHelpFormatter
    summary = "Align speech language models to text teachers."
    parser = argparse.ArgumentParser("rba", description=summary, epilog=_EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"rba {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in _STAGES.items():
        stage = verbs.add_parser(verb, help=text, description=text)
        _add_recipe(stage)
        stage.set_defaults(call=_run, dry_run=False)
        if verb == "run":
            stage.add_argument("--dry-run", action="store_true", help=_DRY_RUN)
    show = verbs.add_parser("show-config", help="print a recipe with every key and the value it resolves to")
    _add_recipe(show)
    show.set_defaults(call=_show_config)
    _add_plan(verbs.add_parser("plan", help="what a recipe will make and cost, stage by stage, before it is run"))
    _add_compare(verbs.add_parser("compare", help="the results of several runs as one: a recipe with several seeds"))
    _add_export(
        verbs.add_parser("export", help="a run's speech, preference pairs or a model, in other toolkits' formats")
    )
    _add_push(verbs.add_parser("push", help="upload a model's folder with its card to a model hub"))
    _add_store(verbs.add_parser("upload", help="copy a run's finished stages to an object store"), up=True)
    _add_store(verbs.add_parser("download", help="copy a run back from an object store, to go on with it"), up=False)
    _add_chat(verbs.add_parser("chat", help="talk to a model: type, or give recordings"))
    _add_check(verbs.add_parser("check", help="whether a SpeechLM does all that rba needs of it"))
    _add_models(
        verbs.add_parser("models", help="the registry of models: list, fetch, path; a SpeechLM's LLM by itself")
    )
    return parser


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a YAML file")
    settings = "settings to change, such as align.lr=2e-4"
    parser.add_argument("overrides", metavar="key=value", nargs="*", default=[], help=settings)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_recipe(parser)
    parser.add_argument("--probe", action="store_true", help="measure this machine for a moment; tells wall time, too")
    parser.add_argument("--json", metavar="FILE", help="write the plan as JSON, too")
    parser.add_argument(
        "--gpus", type=int, metavar="N", help="GPUs for local models, 0 for cores; default: by their size"
    )
    parser.add_argument("--tflops", type=float, metavar="T", help="peak TFLOP/s of a GPU, or of a core")
    assume = "another value for an assumption that the plan prints, such as kept=0.5"
    parser.add_argument("--assume", metavar="NAME=VALUE", action="append", default=[], help=assume)
    shape = "the config.json of a model that is not here"
    parser.add_argument("--shape", metavar="MODEL=FILE", action="append", default=[], help=shape)
    parser.set_defaults(call=_plan)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or results.json files")
    parser.add_argument("--out", metavar="FILE", help="write the rows of all runs into one results.json")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.set_defaults(call=_compare)


def _add_export(parser: argparse.ArgumentParser) -> None:
    from rba.data.instruction import SPLITS
    from rba.export.registry import FORMATS, MODELS

    parser.add_argument("run_folder", metavar="RUN", help="a run folder")
    formats = "; ".join(f"{name}: {text}" for name, text in (FORMATS | MODELS).items())
    parser.add_argument("--to", metavar="FORMAT", required=True, help=formats)
    parser.add_argument("--out", metavar="FOLDER", required=True, help="a new folder")
    parser.add_argument("--split", choices=SPLITS, help="this split alone")
    pairs = "preference pairs: best and worst answer over voices (group), or the teacher's and the model's own (single)"
    parser.add_argument("--pairs", nargs="?", choices=("group", "single"), const="group", help=pairs)
    parser.add_argument("--method", help="whose final model, with --to transformers")
    parser.set_defaults(call=_export)


def _add_push(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="a folder of final/, or one that rba export wrote")
    parser.add_argument("repo", metavar="ORG/NAME", help="the repository; made if there is none")
    parser.add_argument("--public", action="store_true", help="for all to see; a new repository is private otherwise")
    parser.set_defaults(call=_push)


def _add_store(parser: argparse.ArgumentParser, up: bool) -> None:
    run, url = ("run_folder", "RUN", "a run folder"), ("url", "URL", "s3://bucket/folder, gs://..., or a folder")
    for name, shown, text in (run, url) if up else (url, run):
        parser.add_argument(name, metavar=shown, help=text)
    there = "on the store" if up else "in the run folder"
    parser.add_argument("--replace", action="store_true", help=f"replace another output of a stage {there}")
    parser.set_defaults(call=_upload if up else _download)


def _add_chat(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help='a checkpoint folder, "shipped", or an audio LM: a folder or hub id'
    )
    wav = "recordings to answer, instead of asking; given again: one question that is heard in several recordings"
    parser.add_argument("--wav", metavar="FILE", nargs="+", action="append", default=[], help=wav)
    parser.add_argument("--text", help="what is typed below the recordings")
    parser.add_argument("--system", help="a system turn")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 (the default) is greedy")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(call=_chat)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help='a checkpoint folder, "shipped", or an audio LM: folder or hub id'
    )
    parser.add_argument("--wav", metavar="FILE", nargs="+", default=[], help="two recordings or more to check it with")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="float32", help="default: float32")
    parser.set_defaults(call=_check)


def _add_models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every model with its size, licence and whether it is in the cache")
    for action, text in (
        ("fetch", "download, check and convert a model"),
        ("path", "print where a fetched model lies"),
    ):
        actions.add_parser(action, help=text).add_argument("name", metavar="NAME")
    alone = actions.add_parser("llm", help="write a SpeechLM's LLM by itself, for a rollout server")
    alone.add_argument("name", metavar="MODEL", help='a checkpoint folder, "shipped", or an audio LM: folder or hub id')
    alone.add_argument("folder", metavar="FOLDER", help="the folder to write, new or empty")
    parser.set_defaults(call=_models)


def _run(args: argparse.Namespace) -> None:
    from rba.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.overrides)
    if args.dry_run:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's package is imported
        from rba.rehearsal.command import rehearse

        return rehearse(recipe)
    from rba.pipeline import run

    command = shlex.join(["rba", args.verb, args.recipe, *args.overrides])
    run(recipe, None if args.verb == "run" else args.verb, command)


def _show_config(args: argparse.Namespace) -> None:
    from rba.recipe import load_recipe

    sys.stdout.write(load_recipe(args.recipe, args.overrides).to_yaml())


def _plan(args: argparse.Namespace) -> None:
    from rba.plan.command import command
    from rba.recipe import load_recipe

    command(load_recipe(args.recipe, args.overrides), args)


def _compare(args: argparse.Namespace) -> None:
    from pathlib import Path

    from rba.evaluation.pool import pool, runs_of
    from rba.evaluation.results import load_results, print_table, write_results
    from rba.evaluation.table import print_markdown

    runs = runs_of([load_results(run) for run in args.runs])
    pooled = pool(runs)
    if args.out:
        write_results(Path(args.out), [row for run in runs for row in run])
    print_markdown(pooled) if args.markdown else print_table(pooled)


def _export(args: argparse.Namespace) -> None:
    from rba.export.registry import MODELS

    stray = ("split", "pairs") if args.to in MODELS else ("method",)
    for option in stray:
        if getattr(args, option):
            raise RecipeError(f"--{option} means nothing with --to {args.to}", fix="leave it out")
    if args.to in MODELS:
        from rba.export.model import export_model

        print(f"{export_model(args.run_folder, args.to, args.out, args.method)} in {args.out}")
        return
    from rba.export.export import export

    done = export(args.run_folder, args.to, args.out, split=args.split, pairs=args.pairs)
    what = "preference pairs" if args.pairs else "utterances"
    print(f"{what} in {args.out}: " + ", ".join(f"{count} {split}" for split, count in done.examples.items()))
    for name, reason in done.lost.items():
        print(f"rba: left out {name}: {reason}", file=sys.stderr)


def _push(args: argparse.Namespace) -> None:
    from rba.push import push

    print(f"{args.folder} in {push(args.folder, args.repo, args.public)}")


def _upload(args: argparse.Namespace) -> None:
    from rba.store.upload import upload

    for sent in upload(args.run_folder, args.url, args.replace):
        print(sent)


def _download(args: argparse.Namespace) -> None:
    from rba.store.download import download

    for sent in download(args.url, args.run_folder, args.replace):
        print(sent)


def _chat(args: argparse.Namespace) -> None:
    from rba.chat import chat
    from rba.lm.sampling import Sampling

    sampling = Sampling(temperature=args.temperature, max_new_tokens=args.max_new_tokens)
    chat(args.checkpoint, _asked(args.wav), args.system, sampling, args.seed, args.text)


def _asked(wav: Sequence[Sequence[str]]) -> Sequence[str | Sequence[str]]:
    """The questions of `rba chat`: a recording each, or one of several recordings, each behind a --wav of its own."""
    if len(wav) < 2:
        return wav[0] if wav else []
    if any(len(files) > 1 for files in wav):
        raise RecipeError(
            "a question of several recordings has one behind each --wav", fix="ask one question at a time"
        )
    return [[file for (file,) in wav]]


def _check(args: argparse.Namespace) -> int:
    from rba.check import check

    return 0 if check(args.model, args.wav, args.dtype) else 1


def _models(args: argparse.Namespace) -> None:
    from pathlib import Path

    from rba.weights.cache import is_cached, path
    from rba.weights.registry import find
    from rba.weights.resolve import fetch, models_table

    if args.action == "llm":
        from rba.export.llm import write_llm

        write_llm(args.name, Path(args.folder))
        print(f"the LLM of {args.name} in {args.folder}")
    elif args.action == "fetch":
        print(fetch(find(args.name).name))
    elif args.action == "path":
        if not is_cached(name := find(args.name).name):
            raise ModelError("this model is not in the cache", name, f"fetch it: rba models fetch {name}")
        print(path(name))
    else:
        form = "{:<28} {:<18} {:>8}  {:<11} {:<7} {}"
        print(form.format("NAME", "KIND", "SIZE", "LICENCE", "CACHED", "SUMMARY"))
        for row in models_table():
            cached = "yes" if row.cached else "no"
            print(form.format(row.name, row.kind, f"{row.size / 1e6:.0f} MB", row.licence, cached, row.summary))


def _quiet() -> None:
    """Settings of libraries that are read when they are imported; what the user has set stays."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    # libraries tell their own developers what will change; a user of rba can do nothing about it
    for category in (FutureWarning, DeprecationWarning):
        warnings.simplefilter("ignore", category)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # warns of kernels that only `align.quantize` would use


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 for a model that fails `rba check`, 130 if stopped.

    What the user can mend ends with one line on stderr and 2. Any other exception is a bug and is raised.
    """
    args = _parse(argv)
    runtime.prepare()
    _quiet()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold what no text can, as stderr knows
    try:
        code = args.call(args)
        sys.stdout.flush()
    except RbaError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("\nrba: stopped" + ("" if args.verb == "chat" else "; run the same command to resume"), file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader has gone; without this Python complains once more when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _REFUSED and error.filename:
            return _fail(f"{error.strerror} ({error.filename}); name a place that can be read and written")
        if not _disk_full(error):
            raise
        # a copy that fails has two names, of which the second could not be written
        place = (error.filename2 or error.filename) if isinstance(error, OSError) else None
        where = f" ({place})" if place else ""
        return _fail(f"the disk is full{where}; free some space and run the same command again")
    return code or 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; settings may stand behind options too, where argparse does not look for them."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    settings = [word for word in rest if "=" in word and not word.startswith("-")]
    if len(settings) < len(rest) or (rest and not hasattr(args, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.overrides = [*args.overrides, *settings]
    return args


def _fail(line: str) -> int:
    print(f"rba: error: {line}", file=sys.stderr)
    return 2


_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG})
"""Errors of a place that may not be read or written, or cannot be."""


def _disk_full(error: Exception) -> bool:
    """Whether an error means that nothing more can be written; some libraries say so in words only."""
    return disk_full(error) or os.strerror(errno.ENOSPC) in str(error)
