"""R11: the runner of an experiment is killed in the middle of it."""

import sys

from chaos.resilience.proving_ground import ProvingGround


def test_faults_of_a_killed_runner_are_gone(ground: ProvingGround) -> None:
    # The server's lease of 3 s is what makes them go; the bound leaves room for a busy machine.
    values = {"iskra": f"{sys.executable} -m iskra", "folder": str(ground.folder), "gone_within": 6}
    outcome = ground.run("r11-killed-runner", "--allow-processes", values=values)
    assert outcome.verdict == "held", outcome.printed
    outputs = outcome.outputs()
    assert outputs["how often its faults were seen to reach a caller"] > 0
    assert outputs["what its journal says"] == "aborted"
    assert all(outcome.seen().values())
