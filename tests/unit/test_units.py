"""Times and sizes in a campaign file."""

from pathlib import Path

import click
import pytest

from tests.unit.test_campaign import MINIMAL, loaded
from wqmaster.campaign.units import megabytes, seconds
from wqmaster.cli.common import Duration, Size
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3600", 3600),
        ("4h", 4 * 3600),
        ("90 min", 5400),
        ("1h30min", 5400),
        ("1 h 30 m", 5400),
        ("1.5h", 5400),
        ("2D", 172_800),
        ("01:30:00", 5400),
        ("1-12:00:00", 129_600),
    ],
)
def test_a_time_is_read_in_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2000", 2000),
        ("500MB", 500),
        ("4GB", 4000),
        ("4 gb", 4000),
        ("1.5TB", 1_500_000),
        ("4GiB", 4096),
        ("0.3MiB", 1),
    ],
)
def test_a_size_is_read_in_mb(text: str, expected: int) -> None:
    assert megabytes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "h", "4 fortnights", "4h5", "30min1h", "-4h", "01:30", "0.5s"]
)
def test_an_invalid_time_is_refused_with_the_valid_units(text: str) -> None:
    with pytest.raises(ValueError, match=r"\(s, min, h, d\).*'01:30:00'"):
        seconds(text)


@pytest.mark.parametrize("text", ["", "GB", "4G", "4kB", "-3GB", "4h", "1GB 500MB"])
def test_an_invalid_size_is_refused_with_the_valid_units(text: str) -> None:
    with pytest.raises(ValueError, match="MB, GB, TB, MiB, GiB, TiB"):
        megabytes(text)


def test_a_campaign_accepts_times_and_sizes_with_units(tmp_path: Path) -> None:
    text = MINIMAL.replace("campaign_config:\n", "campaign_config:\n  job_timeout: 4h\n", 1) + (
        "resources: {memory: 4GB, disk: 500MB, running_time_min: 10min}\n"
        "workers: {type: condor, walltime: 20h, timeout: 15min, memory: 8GiB, disk: 10GB}\n"
    )
    campaign = loaded(tmp_path, text).campaign
    assert campaign.campaign_config.job_timeout == 14_400
    assert campaign.resources.fixed_memory == 4000
    assert campaign.resources.disk == 500
    assert campaign.resources.running_time_min == 600
    assert campaign.workers.walltime == 72_000
    assert campaign.workers.timeout == 900
    assert campaign.workers.memory == 8192
    assert campaign.workers.disk == 10_000


def test_a_plain_number_keeps_its_meaning(tmp_path: Path) -> None:
    # YAML 1.1 reads 1:30:00 as the integer 5400, which is 1 h 30 min in seconds.
    text = MINIMAL + "resources: {memory: 2000, running_time_min: 1:30:00}\n"
    resources = loaded(tmp_path, text).campaign.resources
    assert (resources.fixed_memory, resources.running_time_min) == (2000, 5400)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("resources: {memory: 4 apples}", "resources.memory: '4 apples' is not a size"),
        ("resources: {memory: 2.5}", "resources.memory: 2.5 is not a size"),
        ("resources: {memory: true}", "resources.memory: true is not a size"),
        ("resources: {disk: 0GB}", "resources.disk: must be above 0"),
        ("workers: {type: slurm, walltime: 20GB}", "workers.walltime: '20GB' is not a time"),
    ],
)
def test_a_wrong_quantity_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    text = MINIMAL + line + "\n"
    with pytest.raises(CampaignError) as caught:
        loaded(tmp_path, text)
    where = f"campaign.yaml:{text.count(chr(10))}: "
    assert where in caught.value.message
    assert said in caught.value.message


TIMES = ("resources: {running_time_min: X}", "workers: {type: condor, timeout: X}")
SIZES = ("resources: {memory: X}", "resources: {disk: X}", "workers: {type: slurm, memory: X}")


@pytest.mark.parametrize(
    ("line", "units"),
    [
        *((line, "s, min, h, d") for line in (*TIMES, "workers: {type: slurm, walltime: X}")),
        *((line, "MB, GB, TB") for line in (*SIZES, "workers: {type: condor, disk: X}")),
    ],
)
@pytest.mark.parametrize("value", ["4 hurs", "lots", "[4]", "1.5"])
def test_the_error_of_each_key_lists_the_units(
    tmp_path: Path, line: str, value: str, units: str
) -> None:
    with pytest.raises(CampaignError, match=f"is not a (time|size); write .*{units}") as caught:
        loaded(tmp_path, MINIMAL + line.replace("X", value) + "\n")
    assert caught.value.code is ErrorCode.CAMPAIGN_INVALID


def test_the_error_of_the_job_limit_lists_the_units(tmp_path: Path) -> None:
    text = MINIMAL.replace("campaign_config:\n", "campaign_config:\n  job_timeout: 4 hurs\n", 1)
    with pytest.raises(CampaignError, match=r"'4 hurs' is not a time; .*s, min, h, d"):
        loaded(tmp_path, text)


@pytest.mark.parametrize(("text", "expected"), [("60", 60), ("2GB", 2000), ("1 GiB", 1024)])
def test_a_size_on_the_command_line_accepts_units(text: str, expected: int) -> None:
    assert Size().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["0", "-1", "4 hurs", "1.5"])
def test_an_invalid_size_is_refused_on_the_command_line(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a size"):
        Size().convert(text, None, None)


@pytest.mark.parametrize(("text", "expected"), [("60", 60.0), ("0.5", 0.5), ("5min", 300.0)])
def test_a_time_on_the_command_line_accepts_units(text: str, expected: float) -> None:
    assert Duration().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "5 apples"])
def test_an_invalid_time_is_refused_on_the_command_line(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time"):
        Duration().convert(text, None, None)
