"""`vla faults` against the real processes: a few trials of different kinds."""

import json

from vla_bringup.cli import main

EXPECTED = {
    "emergency_stop": "emergency stop",
    "inference_killed": "was killed by SIGKILL",
    "policy_nan": "holds NaN or infinity",
    "scan_frozen": "is frozen",
    "second_publisher": "somebody else publishes commands",
    "node_killed": "",  # nobody is left to say it
}

SEED = "19"  # with it, the node is killed last: nothing has to be started again


def test_faults_bring_the_robot_to_a_stand(tmp_path, capsys):
    """How soon is for the campaign to say, on a machine that has nothing else to do."""
    path = tmp_path / "faults.jsonl"
    arguments = ["faults", "--trials", str(len(EXPECTED)), "--seed", SEED, "--json", str(path)]
    arguments += ["--kinds", *EXPECTED, "--logs", str(tmp_path / "logs")]
    code = main(arguments)
    first, *results = [json.loads(line) for line in path.read_text().splitlines()]
    assert first["campaign"]["seed"] == int(SEED)
    assert sorted(result["kind"] for result in results) == sorted(EXPECTED)
    assert [result["problem"] for result in results] == [""] * len(EXPECTED)
    assert all(result["rest_s"] is not None for result in results), results
    # A machine that is busy may be the reason for a stop before the fault is.
    told = [EXPECTED[result["kind"]] in result["reason"] for result in results]
    assert sum(told) >= len(EXPECTED) - 2, results
    assert code == int(any(result["unsafe"] for result in results))
    assert "| all | 6 |" in capsys.readouterr().out

    assert main([*arguments, "--resume"]) == code, "nothing is left to do"
    assert "| all | 6 |" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err


def test_faults_are_listed(capsys):
    assert main(["faults", "--list"]) == 0
    listed = capsys.readouterr().out
    for kind in EXPECTED:
        assert f"| {kind} |" in listed
    assert main(["faults", "--kinds", "gremlins"]) == 1
    assert "no fault is called gremlins" in capsys.readouterr().err
