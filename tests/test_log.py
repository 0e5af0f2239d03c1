"""Log lines carry priorities where journald reads them, and never a password."""

import logging
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_pose import log


@settings(deadline=None)
@given(
    st.text(
        st.characters(codec="ascii", exclude_categories=["Cc", "Zs"], exclude_characters="/"),
        min_size=1,
    )
)
def test_no_password_survives_in_a_url(password: str) -> None:
    assert log.redact(f"open rtsp://eve:{password}@cam/1 again") == "open rtsp://***@cam/1 again"


def test_passwords_in_query_strings_are_hidden_and_the_rest_is_kept() -> None:
    url = "http://cam/video?user=eve&passwd=s3cret&fps=5"
    assert log.redact(url) == "http://cam/video?user=eve&passwd=***&fps=5"
    assert log.redact("mail eve@plant.local at 10:30") == "mail eve@plant.local at 10:30"


def test_journald_gets_the_priority_of_every_line(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        log.configure("debug", stream=stream, journal=True)
        speak()
    assert (tmp_path / "log").read_text(encoding="utf-8").splitlines() == [
        "<7>detail",
        "<6>news",
        "<4>look rtsp://***@cam/1",
        "<3>two",
        "<3>lines",
    ]


def speak() -> None:
    logger = logging.getLogger("edge_pose.somewhere")
    logger.debug("detail")
    logger.info("news")
    logger.warning("look rtsp://eve:s3cret@cam/1")
    logger.error("two\nlines")


def test_the_level_hides_what_is_less_important(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        log.configure("error", stream=stream, journal=False)
        speak()
    (first, second) = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert first.endswith(" ERROR two")
    assert second == "lines"


def test_the_journal_is_known_by_its_stream() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        status = os.fstat(writing)
        named = f"{status.st_dev}:{status.st_ino}"
        assert log.is_journal(stream, {"JOURNAL_STREAM": named})
        assert not log.is_journal(stream, {"JOURNAL_STREAM": "1:2"})
        assert not log.is_journal(stream, {})
