import dataclasses
import json
import math

import pytest
import torch
from bag_making import make_contract
from small_policies import WORDS, random_batch, saved, small_checkpoint
from tiny_runs import tiny_config

from vla_core import keys
from vla_core.contract import Contract
from vla_core.language import Vocabulary
from vla_training.checkpoints import load_checkpoint
from vla_training.dataset.windows import DockingDataset
from vla_training.errors import ConfigurationError, TrainingError
from vla_training.guidance import Guides
from vla_training.losses import REFERENCE, TEACHER, LossConfig, policy_loss
from vla_training.trainer import train

CPU = torch.device("cpu")


def test_a_guide_says_what_its_policy_does(tmp_path):
    teacher, reference = small_checkpoint(seed=1), small_checkpoint("model.head.kind=mixture")
    config = LossConfig(
        teacher=saved(teacher, tmp_path / "t.pt"), reference=saved(reference, tmp_path / "r.pt")
    )
    batch = random_batch()
    guided = Guides(config, make_contract(), WORDS, CPU)(batch)
    assert guided.keys() - batch.keys() == {TEACHER, REFERENCE}
    with torch.no_grad():
        torch.testing.assert_close(guided[TEACHER], teacher.policy().predict(batch).actions)
        torch.testing.assert_close(guided[REFERENCE], reference.policy().predict(batch).actions)
    assert (guided[TEACHER] - guided[REFERENCE]).abs().max() > 1e-3
    student = small_checkpoint(seed=5).policy().train()
    output = student.predict(guided)
    loss, terms = policy_loss(student, output, guided, config)
    loss.backward()
    assert terms[TEACHER] > 0.0
    assert terms[REFERENCE] > 0.0


def test_without_guides_a_batch_stays_as_it_is():
    batch = random_batch()
    assert Guides(LossConfig(), make_contract(), WORDS, CPU)(batch).keys() == batch.keys()


def test_a_guide_has_its_own_word_numbers_and_order_of_streams(tmp_path):
    values = make_contract().to_dict()
    values["streams"] = values["streams"][::-1][:2]  # odometry, scan: no camera
    blind = Contract.from_dict(values)
    vocabulary = Vocabulary(["red", "dock", "blue"])
    checkpoint = small_checkpoint(contract=blind, vocabulary=vocabulary)
    config = LossConfig(teacher=saved(checkpoint, tmp_path / "t.pt"))
    guides = Guides(config, make_contract(), WORDS, CPU)
    batch = random_batch()
    batch[keys.INSTRUCTION][:] = torch.from_numpy(WORDS.encode("dock blue charger"))
    batch[keys.VALID] = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1, 1, 1]])
    own = {
        **batch,
        keys.INSTRUCTION: torch.from_numpy(vocabulary.encode("dock blue charger")).expand(4, -1),
        keys.VALID: batch[keys.VALID][:, [2, 1]],
    }
    with torch.no_grad():
        expected = checkpoint.policy().predict(own).actions
    torch.testing.assert_close(guides(batch)[TEACHER], expected)


def test_a_guide_of_another_contract_is_refused(tmp_path):
    values = make_contract().to_dict()
    values["streams"][1]["decoder"]["beams"] = 18
    values["streams"][2]["key"] = "wheels"
    values["action"]["chunk_length"] = 5
    checkpoint = small_checkpoint(contract=Contract.from_dict(values))
    config = LossConfig(reference=saved(checkpoint, tmp_path / "r.pt"))
    with pytest.raises(ConfigurationError) as caught:
        Guides(config, make_contract(), WORDS, CPU)
    text = str(caught.value)
    assert "loss.reference" in text
    assert "r.pt does not fit the data set" in text
    assert "it observes wheels, which the data set does not have" in text
    assert "its scan is ScanDecoder(beams=18" in text
    assert "its action has chunk_length 5, that of the data set 10" in text
    assert len(caught.value.mistakes) == 3
    missing = dataclasses.replace(config, reference=str(tmp_path / "none.pt"))
    with pytest.raises(TrainingError, match=r"none\.pt does not exist"):
        Guides(missing, make_contract(), WORDS, CPU)


def test_a_reference_keeps_a_run_close_to_where_it_began(dataset, tmp_path):
    """A run that begins with other weights and a large rate forgets less of them."""
    begun = train(tiny_config(dataset, tmp_path / "begun", "steps=3"), progress=False)
    changes = {}
    for weight in (0.0, 50.0):
        config = tiny_config(
            dataset,
            tmp_path / f"tuned_{weight}",
            f"initial={begun.checkpoint}",
            f"loss.reference={begun.checkpoint}",
            f"loss.reference_weight={weight}",
            "optimizer.learning_rate=0.01",
            "seed=1",
        )
        tuned = load_checkpoint(train(config, progress=False).checkpoint)
        batch = DockingDataset(dataset).batch(torch.arange(0, 120, 4))
        with torch.no_grad():
            before = load_checkpoint(begun.checkpoint).policy().predict(batch).actions
            changes[weight] = (tuned.policy().predict(batch).actions - before).abs().mean()
    assert changes[50.0] < 0.7 * changes[0.0]


@pytest.mark.parametrize("kind", ["flow", "cvae"])
def test_heads_with_parts_of_their_own_learn_from_a_teacher_in_a_run(dataset, tmp_path, kind):
    teacher = saved(small_checkpoint(), tmp_path / "teacher.pt")
    config = tiny_config(
        dataset,
        tmp_path / "student",
        f"model.head.kind={kind}",
        f"model.head.{kind}.heads=2",
        f"loss.teacher={teacher}",
        "steps=4",
    )
    result = train(config, progress=False)
    (line,) = (result.checkpoint.parent / "metrics.jsonl").read_text().splitlines()
    terms = json.loads(line)["training"]
    assert {"action", "teacher", "dock_pose", "docked"} <= terms.keys()
    assert ("kl" in terms) == (kind == "cvae")
    assert all(math.isfinite(value) for value in terms.values())
