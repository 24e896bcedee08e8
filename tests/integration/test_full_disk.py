"""On a disk that is full for a while, no document is given up and no half-written task stays."""

import threading
from pathlib import Path

from tests.conftest import wait_until
from tests.unit.test_master import House, well


def test_jobs_that_cannot_be_written_are_written_later(tmpfs: Path) -> None:
    house = House(tmpfs, well)
    house.fill(30)
    filler = tmpfs / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass
    master = house.master()
    running = threading.Thread(target=master.run)
    running.start()
    try:
        wait_until(lambda: "No space left" in (house.progress.trouble or ""))
        assert not list(house.spool.running.iterdir())
        assert not house.values
    finally:
        filler.unlink()
        running.join(60)
    assert not running.is_alive()
    assert len(house.values) == 30
    assert house.failures == []
    assert not list(house.spool.running.iterdir())
