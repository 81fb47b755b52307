"""What is known to be stored, by informer and answers."""

from capture_agent.stored_node_capture import StoredNodeCapture
from capture_api.meta import ObjectMeta
from capture_api.node_captures import AgentInfo, NodeCapture, NodeCaptureStatus

OLD = NodeCaptureStatus(agent=AgentInfo(version="old"))
SENT = NodeCaptureStatus(agent=AgentInfo(version="new", ready=True))
PRUNED = NodeCaptureStatus(agent=AgentInfo(version="new"))


def node_capture(version: str, status: NodeCaptureStatus = OLD) -> NodeCapture:
    """The NodeCapture at a version."""
    metadata = ObjectMeta(name="node-1", uid="u", resource_version=version)
    return NodeCapture(metadata=metadata, status=status)


def test_nothing_is_stored_while_the_informer_has_nothing() -> None:
    """There is no version to build on."""
    stored = StoredNodeCapture()
    stored.informed(None)
    assert stored.resource_version is None


def test_an_answer_is_newer_than_an_informer_that_has_not_moved() -> None:
    """A write isn't forgotten because the watch is late."""
    stored = StoredNodeCapture()
    stored.informed(node_capture("1"))
    stored.accepted(SENT, node_capture("2", SENT))
    stored.informed(node_capture("1"))
    assert (stored.resource_version, stored.status) == ("2", SENT)


def test_an_informer_that_moves_is_believed() -> None:
    """Somebody else's edit of the status is seen."""
    stored = StoredNodeCapture()
    stored.accepted(SENT, node_capture("2", SENT))
    stored.informed(node_capture("3", OLD))
    assert (stored.resource_version, stored.status) == ("3", OLD)


def test_a_deleted_node_capture_is_no_longer_stored() -> None:
    """Answers of before don't matter any more."""
    stored = StoredNodeCapture()
    stored.informed(node_capture("1"))
    stored.accepted(SENT, node_capture("2", SENT))
    stored.informed(None)
    assert stored.resource_version is None


def test_fields_that_an_older_crd_dropped_do_not_make_a_difference() -> None:
    """What is stored counts as what was sent for it, in answers and from the informer."""
    stored = StoredNodeCapture()
    stored.accepted(SENT, node_capture("2", PRUNED))
    assert stored.status == SENT
    stored.informed(node_capture("3", PRUNED))
    assert stored.status == SENT


def test_another_status_than_was_kept_is_itself() -> None:
    """Only what the answer showed stands for what was sent."""
    stored = StoredNodeCapture()
    stored.accepted(SENT, node_capture("2", PRUNED))
    stored.answered(node_capture("4", OLD))
    assert (stored.resource_version, stored.status) == ("4", OLD)
