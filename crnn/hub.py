"""Checkpoints to the Hugging Face Hub, with their user's own token, and from it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENDPOINT: str | None = None  # None: the Hub itself, or what HF_ENDPOINT names
NEEDED, BESIDE = ("config.json", "model.safetensors"), ("README.md",)  # all that is uploaded
TOKEN = re.compile(r"[\w.-]{8,2048}", re.ASCII)  # such as hf_…; other characters can't stand in a header
TOKENS = "huggingface.co/settings/tokens"


class HubError(ValueError):
    """Why a checkpoint could not be pushed, in one sentence that never holds the token."""


def push(folder: str | Path, repo: str, token: str, private: bool = True) -> str:
    """Upload a checkpoint to a model repository on the Hub, which is made where there is none.

    Only the checkpoint and its card are uploaded, whatever else the folder holds. The token goes to the Hub with each
    request, and nowhere else: this machine's own, if it has one, is never used.

    Args:
        folder: with config.json and model.safetensors, and README.md if there is one.
        repo: USER/NAME, or NAME alone for the token's user.
        token: with write access, from huggingface.co/settings/tokens.
        private: whether a new repository is for its user alone. A public one that is already there is then refused.

    Returns:
        The address of the repository.

    Raises:
        HubError: the folder is no checkpoint, the name or token is not accepted, or the Hub can't be reached.
    """
    for name in NEEDED:
        if not (Path(folder) / name).is_file():
            raise HubError(f"There is no {name}, so this is no checkpoint to push; train one first.")
    token = token.strip()
    if not token:
        raise HubError(f"There is no token; make one with write access at {TOKENS}, and give it.")
    if not TOKEN.fullmatch(token):
        raise HubError(f"This is no token of the Hub; copy the whole token, and only it, from {TOKENS}.")

    from huggingface_hub import HfApi

    api = HfApi(endpoint=ENDPOINT, token=token)
    try:
        address = api.create_repo(repo.strip(), private=private, exist_ok=True)
        if private and not api.model_info(address.repo_id).private:
            raise HubError(
                f"{address.repo_id} is there already, for all to see; choose another name, or push in public."
            )
        api.upload_folder(
            repo_id=address.repo_id,
            folder_path=folder,
            allow_patterns=[*NEEDED, *BESIDE],
            commit_message="A reader of distorted text",
        )
    except HubError:
        raise
    except Exception as error:  # of the Hub's client, of HTTP, of Xet; some hold the request with its token
        raise HubError(_sentence(error, repo.strip()).replace(token, "…")) from None
    return str(address)


def fetch(repo: str) -> Path:
    """The folder of a model of the Hub, downloaded unless it was before. Raises what the Hub's client does."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, allow_patterns=list(NEEDED), endpoint=ENDPOINT))


class _NoCheckpointError(ValueError):
    """A folder without a checkpoint that can be read; one sentence."""


@contextmanager
def loading(checkpoint: str | Path) -> Iterator[Path]:
    """The folder of a checkpoint, or of a model's id on the Hub; what goes wrong within gets one sentence.

    Raises:
        ValueError: there is none, it lacks a file, or what it holds couldn't be loaded.
    """
    try:
        yield _folder(checkpoint)
    except _NoCheckpointError:
        raise
    except (KeyError, TypeError, RuntimeError) as error:  # settings that are not there, weights of other shapes
        raise ValueError(
            f"{checkpoint} holds another kind of model; give one that `python -m crnn train` wrote."
        ) from error
    except Exception as error:  # the Hub, JSON and safetensors each have their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{checkpoint} is no checkpoint folder and no model that the Hub gives: {reason}") from error


def _folder(checkpoint: str | Path) -> Path:
    """Where its files are, all of them readable; an id is fetched. Raises _NoCheckpointError, or what `fetch` does."""
    folder = Path(checkpoint)
    if isinstance(checkpoint, str) and not folder.is_dir():
        folder = fetch(checkpoint)
    for name in NEEDED:
        if not (folder / name).is_file():
            raise _NoCheckpointError(f"{folder} holds no {name}; give a folder that `python -m crnn train` wrote.")
        if not os.access(folder / name, os.R_OK):
            raise _NoCheckpointError(f"{folder / name} can't be opened; check its permissions.")
    return folder


def _sentence(error: BaseException, repo: str) -> str:
    """What an error of the Hub's client means for the user."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    while isinstance(error, RuntimeError) and error.__cause__:  # of an upload in a thread
        error = error.__cause__
    if isinstance(error, HFValidationError):
        return f"{repo!r} is no name on the Hub; give USER/NAME, of letters, digits, single dashes, dots and _."
    if isinstance(error, OfflineModeIsEnabled):
        return "This server is set to stay offline (HF_HUB_OFFLINE); download the checkpoint instead."
    if not isinstance(error, HfHubHTTPError):
        return f"The Hub can't be reached, or broke off ({type(error).__name__}); check the network, and try again."
    status = error.response.status_code
    if status == 401:
        return f"The Hub refuses the token; give a valid one with write access, from {TOKENS}."
    if status in (403, 404):
        return f"The token has no write access to {repo}; give one that has, or another name."
    if status == 429:
        return "The Hub takes no more requests for now; try again in some minutes."
    said = " ".join((error.server_message or error.response.reason_phrase).split()).rstrip(".")
    return f"The Hub answered with {status} ({said}); try again later, or with another name."
