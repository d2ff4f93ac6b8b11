"""Gates of an environment that a model lifts for itself, and the way past them in an emergency."""

import pytest
from sandbox import InProcess, Sandbox
from test_promote import policy, runs, trailer

GATES = """\
modelver:
  environments: {{prod: {{gates: {{recall: {{min: 0.9}}, accuracy: {{min: 0.9}}}}}}}}
  {section}:
    m:
      environments: {{prod: {{gates: {own}}}}}
"""


@pytest.fixture
def box(released: Sandbox) -> InProcess:
    return InProcess(released.root, released.env)


@pytest.mark.parametrize(("section", "nothing"), [("models", "null"), ("added", "~"), ("models", "")])
def test_a_gate_that_does_not_apply_to_a_model_is_lifted_for_it_alone(box, section, nothing):
    policy(box, GATES.format(section=section, own="{}"))
    refused = box.refused("promote", "v1.0.1", "prod", status=1)
    assert "recall was not computed" in refused.err
    assert f"modelver.{section}.m.environments.prod.gates: {{recall: null}}" in refused.err
    policy(box, GATES.format(section=section, own=f"{{recall: {nothing}}}"))
    done = box.mv("promote", "v1.0.1", "prod")
    assert "passed: the gate on recall does not apply to m" in done.out
    assert trailer(box, "m#prod#1", "Modelver-Gate").splitlines() == [
        "accuracy 0.95 is at least 0.9",
        "the gate on recall does not apply to m",
    ]
    # of its other gates nothing is lifted
    assert "accuracy 0.85 is below 0.9" in box.refused("promote", "v1.0.2", "prod", status=1).err


def test_a_gate_for_every_model_can_not_be_left_empty(box):
    policy(box, "modelver: {environments: {prod: {gates: {accuracy: null}}}}\n")
    assert "modelver.environments.prod.gates.accuracy may hold min" in box.refused("promote", "v1.0.1", "prod").err
    policy(box, GATES.format(section="models", own="{recall: {}}"))
    refused = box.refused("promote", "v1.0.1", "prod")
    assert "models.m.environments.prod.gates.recall must hold at least one of min" in refused.err


def test_a_way_back_that_a_gate_closes_names_the_emergency(box):
    box.mv("promote", "v1.0.1", "prod")
    policy(box, GATES.format(section="models", own="{recall: null, accuracy: {min: 0.93}}"))
    refused = box.refused("rollback", "m", "v1.0.0", "--reason", "alarms", status=1)
    assert "accuracy 0.9 is below 0.93" in refused.err
    assert box.hint(refused) == "modelver rollback m v1.0.0 --env prod --emergency --reason '…'"
    box.mend(refused)
    assert runs(box, "--env", "prod") == {"prod": "v1.0.0"}
    # forward there is no such way
    assert "change the gate" in box.refused("promote", "v1.0.2", "prod", status=1).err
