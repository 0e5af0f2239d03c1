"""The mailbox keeps the newest item, counts what it replaces, and wakes a waiting reader."""

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_pose.mailbox import Mailbox


def test_the_newest_item_wins_and_the_replaced_are_counted() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for item in (1, 2, 3):
        mailbox.put(item)
    assert mailbox.take(0.0) == 3
    assert mailbox.skipped == 2
    assert mailbox.take(0.0) is None


@settings(deadline=None)
@given(st.lists(st.booleans()))
def test_every_item_is_either_taken_or_skipped_or_still_there(puts: list[bool]) -> None:
    mailbox: Mailbox[int] = Mailbox()
    written, taken = 0, []
    for put in puts:
        if put:
            mailbox.put(written)
            written += 1
        elif (item := mailbox.take(0.0)) is not None:
            taken.append(item)
    left = 0 if mailbox.take(0.0) is None else 1
    assert len(taken) + mailbox.skipped + left == written
    assert taken == sorted(taken)


def test_a_waiting_reader_is_woken_by_an_item() -> None:
    mailbox: Mailbox[str] = Mailbox()
    taken: list[str | None] = []
    reader = threading.Thread(target=lambda: taken.append(mailbox.take(30.0)))
    reader.start()
    mailbox.put("frame")
    reader.join(10)
    assert taken == ["frame"]


def test_a_waiting_reader_is_woken_by_the_end() -> None:
    mailbox: Mailbox[str] = Mailbox()
    taken: list[str | None] = []
    reader = threading.Thread(target=lambda: taken.append(mailbox.take(30.0)))
    reader.start()
    mailbox.close()
    reader.join(10)
    assert taken == [None]


def test_what_was_left_before_the_end_can_still_be_taken() -> None:
    mailbox: Mailbox[str] = Mailbox()
    mailbox.put("last")
    mailbox.close()
    assert not mailbox.drained
    assert mailbox.take(0.0) == "last"
    assert mailbox.drained
