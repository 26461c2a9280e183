"""The verbs that make data sets without ROS, from the command line to the file."""

import json

from vla_bringup.cli import main
from vla_training.dataset.file import DatasetFile


def test_rollouts_are_driven_and_merged(tmp_path, capsys):
    looks, full, both = (tmp_path / f"{name}.h5" for name in ("looks", "full", "both"))
    short = ["--duration", "0.1", "--workers", "1", "--json"]
    ways = ["--goals", "every", "--starts", "path", "--looks", "2"]
    assert main(["rollout", "--out", str(looks), "--episodes", "2", *ways, *short]) == 0
    first = json.loads(capsys.readouterr().out)
    mix = ["--suite", "nominal:0.5", "--suite", "wide_start:0.5"]
    assert (
        main(["rollout", "--out", str(full), "--episodes", "3", "--seed", "2", *mix, *short]) == 0
    )
    second = json.loads(capsys.readouterr().out)
    assert (second["episodes"], second["frames"], second["reused"]) == (3, 6, 0)
    assert main(["merge", str(looks), str(full), "--out", str(both), "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    assert merged["frames"] == first["frames"] + second["frames"]
    with DatasetFile(both) as file:
        assert {episode.seed for episode in file.episodes} == {0, 1, 2, 3, 4}


def test_a_policy_has_to_be_named_where_one_shall_drive(tmp_path, capsys):
    out = ["rollout", "--out", str(tmp_path / "data.h5"), "--episodes", "1"]
    assert main([*out, "--driver", "policy"]) == 1
    assert "expected --driver policy and --policy PATH together" in capsys.readouterr().err
    assert main([*out, "--suite", "paraphrase"]) == 1
    assert "for evaluation only" in capsys.readouterr().err
    assert main(["dagger", str(tmp_path / "no.h5"), "--out", str(tmp_path), "--rounds", "0"]) == 1
    assert "rounds is 0, expected 1 to 1000" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
