"""Where a run on verl finds its model, its data and its checkpoint, and whether they are what the recipe says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from diagnosis_zero import prompts
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.rewards.adapters import compute_score
from diagnosis_zero.scale import options
from diagnosis_zero.scale.options import Place
from diagnosis_zero.train import metrics


def find(recipe: Recipe, saved: int | None, tokenizer: Any) -> Place:
    """What the mapping needs to know. ``saved``: the step of the checkpoint that a resume goes on from."""
    folder = recipe.run.folder.resolve()
    data = folder / "data" if recipe.data.folder is None else Path(recipe.data.folder).resolve()
    train, val = (_files(data, split) for split in ("train", "val"))
    return Place(
        model=_model(recipe),
        train_files=train,
        val_files=val,
        folder=folder / "verl",
        think_opened=opens_thinking(tokenizer),
        resume_from=saved,
        validate_first=saved is None or _owes_validation(recipe, folder, saved),
    )


def _owes_validation(recipe: Recipe, folder: Path, saved: int) -> bool:
    """verl validates a step after it has saved it, and may have been killed in between."""
    known = any(row["kind"] == "val" and row["step"] == saved for row in metrics.read(folder / metrics.FILE))
    return saved % recipe.eval.every == 0 and not known


def _files(data: Path, split: str) -> tuple[str, ...]:
    """The Parquet of a split, in one file or in shards; of vignettes that are still to be made, where it will be."""
    return tuple(map(str, sorted(data.glob(f"{split}*.parquet")))) or (str(data / f"{split}.parquet"),)


def _model(recipe: Recipe) -> str:
    """What verl loads: a folder by its absolute path, since its workers start in folders of their own."""
    if recipe.model.id == "smollm2":
        from diagnosis_zero.engine.model import smollm2

        return str(smollm2())
    return str(Path(recipe.model.id).resolve()) if Path(recipe.model.id).is_dir() else recipe.model.id


def tokenizer_of(recipe: Recipe) -> Any:
    """The tokenizer as verl loads it."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(_model(recipe), trust_remote_code=recipe.model.trust_remote_code)
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        mend = "Give a Hugging Face id or a folder with its tokenizer."
        raise InputError(f"cannot load the tokenizer of {recipe.model.id!r}: {said}", mend=mend) from error


def opens_thinking(tokenizer: Any) -> bool:
    """Whether the chat template itself writes the <think> that a completion goes on from."""
    opening = tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}], add_generation_prompt=True, tokenize=False
    )
    return bool(opening.rstrip().endswith("<think>"))


def check_data(recipe: Recipe, place: Place) -> None:
    """Rows enough, the recipe's template in them, and a reward that can score the first of them."""
    for split, files, least in (("train", place.train_files, recipe.rollout.prompts), ("val", place.val_files, 1)):
        rows = sum(_rows(file) for file in files)
        if rows < least:
            mend = "Lower rollout.prompts, or prepare more cases." if split == "train" else "dz prepare makes one."
            raise InputError(f"{rows} cases in the {split} split, {least} are needed", where=files[0], mend=mend)
    row = next(pq.ParquetFile(place.train_files[0]).iter_batches(1)).to_pylist()[0]
    wanted = prompts.fill(prompts.load_template(recipe.prompt.template), row["extra_info"]["text"])
    if row["prompt"][-1]["content"] != wanted:
        mend = "Prepare the data with this template (dz prepare --template), or name theirs as prompt.template."
        raise InputError("its prompts are not of the recipe's template", where=place.train_files[0], mend=mend)
    settings = options.reward_settings(recipe, place.think_opened)
    compute_score(row["data_source"], "", row["reward_model"]["ground_truth"], row["extra_info"], **settings)


def _rows(file: str) -> int:
    if not Path(file).is_file():
        raise InputError("no such file", where=file, mend="Prepare the cases again (dz prepare).")
    return int(pq.ParquetFile(file).metadata.num_rows)


def check_shards(source: Path, saved: int | None, gpus: int) -> None:
    """A checkpoint of FSDP is read by as many ranks as wrote it."""
    if saved is None:
        return
    shards = source / "checkpoints" / f"global_step_{saved}" / "actor"
    if not (shards / f"model_world_size_{gpus}_rank_0.pt").is_file():
        there = next(shards.glob("model_world_size_*_rank_0.pt"), None)
        was = "another number of" if there is None else there.name.split("_")[3]
        mend = f"Resume on {was} GPUs, or start a new run with model.id = one of the run's checkpoints."
        raise InputError(f"the checkpoint was saved by {was} GPUs, and there are {gpus}", where=shards, mend=mend)
