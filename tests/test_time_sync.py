"""Whether the wall clock is right is asked of the kernel, and told as it is."""

from edge_pose.time_sync import TimeSync, judge, time_sync


def test_the_kernel_s_flag_and_its_patience_decide() -> None:
    assert judge(0x2001, 25_000) == TimeSync(synchronised=True, error_ms=25.0)
    assert not judge(0x2041, 25_000).synchronised, "nobody corrects the clock"
    assert not judge(0x2001, 16_000_000).synchronised, "nobody has for hours"


def test_the_kernel_of_this_machine_answers() -> None:
    told = time_sync()
    assert told is not None
    assert told.error_ms >= 0
