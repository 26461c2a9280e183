from vla_policy_node.control.intervention_tally import InterventionTally


def test_a_goal_that_was_held_back_says_by_what():
    tally = InterventionTally()
    assert tally.explanation() == ""
    for _ in range(3):
        tally.add(("acceleration", "obstacle"))
    tally.add(("stale",))
    tally.add(())
    assert tally.explanation() == (
        "held back by the safety envelope: obstacle in 3, stale in 1 of 5 commands"
    )
    assert tally.total == {"acceleration": 3, "obstacle": 3, "stale": 1}


def test_every_goal_begins_anew_and_the_total_goes_on():
    tally = InterventionTally()
    tally.add(("obstacle",))
    tally.begin()
    tally.add(("velocity",))
    assert tally.explanation() == "", "a clipped command holds nobody back"
    assert tally.total == {"obstacle": 1, "velocity": 1}
