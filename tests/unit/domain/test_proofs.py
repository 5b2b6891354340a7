"""Until when everything is in the queue or committed."""

from connector.domain.proofs import Proofs


def test_a_proof_holds_once_what_waited_then_is_committed():
    proofs = Proofs()
    assert proofs.through(10) == 0
    proofs.add(0, 100)
    proofs.add(2, 200)
    proofs.add(5, 300)
    assert [proofs.through(items) for items in range(7)] == [100, 100, 200, 200, 200, 300, 300]
    proofs.take(3)
    assert (proofs.through(0), proofs.through(1), proofs.through(2)) == (200, 200, 300)
    proofs.add(0, 250)
    proofs.take(2)
    assert proofs.through(0) == 250


def test_items_that_stand_for_those_that_wait_put_proofs_off():
    proofs = Proofs()
    proofs.add(1, 100)
    proofs.widen(2)
    assert (proofs.through(2), proofs.through(3)) == (0, 100)
