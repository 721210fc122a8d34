"""`rba push`: a model's folder onto a model hub, with its card."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rba.errors import DataError, RbaError, RecipeError
from rba.files import local
from rba.weights.registry import SOURCES

CARD = "README.md"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LOGIN = "put a token that may write into $HF_TOKEN, or log in with `hf auth login`"


def push(folder: str | Path, repo: str, public: bool = False, api: Any = None) -> str:
    """Upload the model in `folder` to the repository `repo` ("org/name"), made if there is none; returns its address.

    A checkpoint of rba's or an exported model, with its card; hidden files stay here. A new repository is private
    unless `public`; an existing one keeps what it is, and a public one is written to only with `public`. What was
    uploaded before is not sent again. The token is that of the environment or of the hub's own login. `api` is an
    HfApi, the standard one if None.

    Raises DataError for a folder that is no model or that nobody else could open, ModelError for a damaged one,
    RecipeError for a name that no repository can have, and RbaError where the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi, get_token

    root = local(folder)
    check_folder(root)
    if not _NAME.fullmatch(repo):
        raise RecipeError("no repository can have this name", repo, "write org/name or user/name")
    hub = api or HfApi(library_name="rba")
    if not (hub.token or get_token()):
        raise RbaError("no access token of the hub", repo, _LOGIN)
    with _plain_faults(repo, hub.endpoint):
        hub.create_repo(repo, private=not public, exist_ok=True)
        if not public and not hub.model_info(repo).private:
            raise RbaError("this repository is public already", repo, "add --public, or choose another name")
        hub.upload_folder(
            repo_id=repo, folder_path=root, commit_message=f"Upload {root.name}", ignore_patterns=[".*", "*/.*"]
        )
    return f"{hub.endpoint}/{repo}"


def check_folder(folder: Path) -> None:
    """Raise DataError where `folder` holds no model with a card, or names parts of this machine alone.

    Raises ModelError where it is damaged.
    """
    from rba.models.load import facts_of

    checkpoint, whole = folder / "speechlm.json", folder / "config.json"
    if not checkpoint.is_file() and not whole.is_file():
        fix = "give a folder of final/, or one that `rba export --to transformers` wrote"
        raise DataError("no model here", str(folder), fix)
    if not (folder / CARD).is_file():
        raise DataError("the model has no card", str(folder / CARD), "write one: `rba report RECIPE`, or export again")
    if not checkpoint.is_file():
        return
    facts = facts_of(folder)
    for part in ("llm", "encoder", "model"):
        name = str(facts.get(part, ""))
        # a name of the registry is never a folder's, whatever the working folder holds
        if name and name not in SOURCES and local(name).exists():
            fix = "push an export of it: rba export RUN --to transformers --out FOLDER"
            raise DataError(f"its {part} is a folder of this machine, which nobody else can open", name, fix)


@contextmanager
def _plain_faults(repo: str, endpoint: str) -> Iterator[None]:
    """Failures of the hub as one line that says what to do."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

    try:
        yield
    except HFValidationError as error:
        raise RecipeError("no repository can have this name", repo, str(error)) from error
    except HfHubHTTPError as error:
        raise _refusal(error, repo) from error
    except OfflineModeIsEnabled as error:
        raise RbaError("the hub is switched off", endpoint, "unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE") from error
    except (HTTPError, OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        fix = "run the same command again: what has arrived is not sent twice"
        raise RbaError(f"the hub cannot be reached: {reason}", endpoint, fix) from error


def _refusal(error: Any, repo: str) -> RbaError:
    """What an HTTP status of the hub means."""
    status = error.response.status_code if error.response is not None else 0
    if status == 401:
        return RbaError("the hub refuses the access token", repo, _LOGIN)
    if status in (403, 404):
        fix = "check the name, and that the token may write there"
        return RbaError("the token may not write to this repository", repo, fix)
    reason = (getattr(error, "server_message", "") or str(error)).strip().splitlines()[0]
    fix = "run the same command again: what has arrived is not sent twice"
    return RbaError(f"the hub refuses, status {status}: {reason}", repo, fix)
